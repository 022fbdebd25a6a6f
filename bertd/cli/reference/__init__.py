"""Pages of the documentation that are generated: `make docs` writes docs/recipe.md and docs/commands.md."""
