"""[model]: the encoder's shape and where its weights come from."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from bertd.run.recipe.section import RecipeSection


class ModelSection(RecipeSection):
    layers: PositiveInt = 24
    width: PositiveInt = 1024
    heads: PositiveInt = 16
    ffn: PositiveInt = 4096
    """Width of the feed-forward layer."""
    norm: Literal["pre", "post"] = "pre"
    """Where LayerNorm stands. Source: Izsak et al. 2021, section 3: pre."""
    embedding_norm: bool = False
    """LayerNorm on the embeddings. Source: the old code, where it was always on until November 2021, the paper's model
    very likely included; since then off by default."""
    activation: Literal["gelu", "gelu_tanh", "geglu"] = "gelu"
    """gelu is the erf form, BERT's; geglu gates it with a second product. Source of geglu: Shazeer 2020."""
    bias: bool = True
    """Biases in the linear layers; norms and the decoder always have one."""
    positions: Literal["learned", "rotary"] = "learned"
    """A table, or angles between queries and keys. Source of rotary: Su et al. 2021."""
    norm_eps: Annotated[float, Field(gt=0.0, lt=0.1)] = 1e-12
    """Of every LayerNorm. Source: Devlin et al. 2019's code."""
    rotary_base: Annotated[float, Field(gt=1.0)] = 10_000.0
    """Of rotary positions. Source: Su et al. 2021."""
    local_attention: Annotated[int, Field(ge=1, le=8192)] | None = None
    """Of layers that look nearby: the tokens they see, half of them on each side; 128 in ModernBERT. Only with rotary
    positions; left out, every layer looks everywhere."""
    global_every: Annotated[int, Field(ge=2)] = 3
    """With local_attention: one layer in so many looks everywhere, the first of them first. Source: Warner et al. 2024,
    section 2.1.2."""
    local_rotary_base: Annotated[float, Field(gt=1.0)] = 10_000.0
    """Of the layers that look nearby. Source: Warner et al. 2024, section 2.1.2."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    attention_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    start_from: Annotated[str, Field(min_length=1)] | None = None
    """First weights from a checkpoint of stock transformers: a folder, absolute, or a name on the Hugging Face hub. Of
    the shape above and the shards' vocabulary; its output bias comes along, in the place of head_bias."""
    head_bias: Literal["zero", "frequency"] = "zero"
    """Where the output bias begins; frequency is the log of each token's share of the data. With start_from it is the
    checkpoint's, whatever stands here. The old code: zero."""
    depth_scaled_init: bool = False
    """Divide initial weights that add to the residual by sqrt(2 layers). Source: Radford et al. 2019; off in BERT."""

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width = {self.width} is no multiple of heads = {self.heads}; change one")
        if self.norm == "post" and not self.embedding_norm:
            raise ValueError('norm = "post" is BERT, whose embeddings are normed; set embedding_norm = true')
        is_modern = self.norm == "pre" and self.embedding_norm and self.activation == "geglu"
        if (self.positions == "rotary" or self.activation == "geglu") and not (
            self.positions == "rotary" and is_modern
        ):
            # No class of stock transformers computes any other mixture, so it could not be exported.
            raise ValueError(
                'positions = "rotary" and activation = "geglu" go together (ModernBERT), with norm = "pre" and '
                "embedding_norm = true; change those keys"
            )
        if self.local_attention is not None and self.positions != "rotary":
            raise ValueError('local_attention goes with positions = "rotary" (ModernBERT); leave it out')
        if self.norm == "pre" and self.embedding_norm and self.activation == "gelu_tanh":
            # RobertaPreLayerNorm's head has erf-gelu built in, so the export would compute something else.
            raise ValueError('activation = "gelu_tanh" cannot be exported with pre-norm and embedding_norm; use "gelu"')
        return self
