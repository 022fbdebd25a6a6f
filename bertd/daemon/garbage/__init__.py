"""What ended jobs leave on the disk and nobody needs: found, shown and deleted."""
