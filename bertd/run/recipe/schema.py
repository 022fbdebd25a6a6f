"""The sections and keys of a recipe: one TOML file, one run.

The mathematics of a run depends on its recipe and the seed in it, and on nothing else. bertd/run/recipe/load.py reads
and writes recipes.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    Tag,
    model_validator,
)

from bertd.records import BudgetUnit, Preset
from bertd.run.amounts.durations import parse_duration
from bertd.run.amounts.quantities import parse_bytes
from bertd.run.budget import MAX_HOURS, MAX_STEPS_OR_SEQUENCES, Budget
from bertd.run.grid.finetune_grid import parse_tasks, require_via
from bertd.run.recipe.mixture_text import format_weights
from bertd.run.recipe.stop_rules import StopRule, parse_stop_rule

MIN_SEQUENCE_LENGTH = 8
"""[CLS], [SEP] and a few tokens of text."""
MAX_SEQUENCE_LENGTH = 8192
_MAX_LAYERS = 10_000
_MAX_COUNT = 2**31 - 1
"""No number here may be as long as memory allows: arithmetic with it, or a file that holds it, would fail later."""
Width = Annotated[int, Field(ge=1, le=2**20)]
StepSize = Annotated[int, Field(ge=1, le=2**24)]
"""Sequences: 500 times as many as the largest batch that BERT was trained with. Source: You et al. 2020, 32k."""

MixtureWeight = Annotated[int, Field(ge=1, le=10_000)]
"""Sequences of a data set in each cycle of a mixture."""
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class RecipeSection(BaseModel):
    """Frozen; unknown keys are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class ModelSection(RecipeSection):
    layers: Annotated[int, Field(ge=1, le=_MAX_LAYERS)] = 24
    """Transformer layers. Source: Izsak et al. 2021, section 3: BERT-large."""
    width: Width = 1024
    """Width of the hidden states. Source: Izsak et al. 2021, section 3: BERT-large."""
    heads: Width = 16
    """Attention heads of a layer. Source: Izsak et al. 2021, section 3: BERT-large."""
    ffn: Width = 4096
    """Width of the feed-forward layer."""
    norm: Literal["pre", "post"] = "pre"
    """LayerNorm before or after each sublayer. Source: Izsak et al. 2021, section 3: pre."""
    embedding_norm: bool = False
    """LayerNorm on the embeddings. Source: the old code, where it was always on until November 2021, so very likely in
    the paper's model too; since then it is off by default."""
    activation: Literal["gelu", "gelu_tanh", "geglu"] = "gelu"
    """gelu is the erf form, BERT's; geglu gates it with a second product. Source of geglu: Shazeer 2020."""
    bias: bool = True
    """Biases in the linear layers; norms and the decoder always have one."""
    positions: Literal["learned", "rotary"] = "learned"
    """A table of embeddings, or a rotation of queries and keys. Source of rotary: Su et al. 2021."""
    norm_eps: Annotated[float, Field(gt=0.0, lt=0.1)] = 1e-12
    """Of every LayerNorm. Source: Devlin et al. 2019's code."""
    rotary_base: Annotated[float, Field(gt=1.0)] = 10_000.0
    """Of rotary positions. Source: Su et al. 2021."""
    local_attention: Annotated[int, Field(ge=1, le=MAX_SEQUENCE_LENGTH)] | None = None
    """Window of the layers with local attention, in tokens, half on each side; 128 in ModernBERT. Only with rotary
    positions; without it every layer has global attention."""
    global_every: Annotated[int, Field(ge=2, le=_MAX_LAYERS)] = 3
    """With local_attention: one layer in this many has global attention, beginning with the first layer. Source: Warner
    et al. 2024, section 2.1.2."""
    local_rotary_base: Annotated[float, Field(gt=1.0)] = 10_000.0
    """Of the layers with local attention. Source: Warner et al. 2024, section 2.1.2."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """Share of the hidden states that training drops. Source: Izsak et al. 2021, section 3."""
    attention_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """Share of the attention weights that training drops. Source: Izsak et al. 2021, section 3."""
    start_from: Annotated[str, Field(min_length=1)] | None = None
    """Initial weights from a checkpoint of stock transformers: the absolute path of a folder, or a name on the Hugging
    Face hub. It must have the shape above and the shards' vocabulary; its output bias replaces head_bias."""
    head_bias: Literal["zero", "frequency"] = "zero"
    """Initial output bias; frequency is the log of each token's share of the data. Ignored with start_from, which
    brings its own. The old code: zero."""
    first_weights: Literal["normal", "cooccurrence"] = "normal"
    """normal: drawn from N(0, 0.02), as BERT's. cooccurrence: embeddings and the first attention layer from counts of
    which words stand near each other, which take seconds of the budget; with norm = "pre" and learned positions.
    Ignored with start_from. Source: docs/quality.md."""
    depth_scaled_init: bool = False
    """Divide the initial weights of residual projections by sqrt(2 layers). Source: Radford et al. 2019; BERT: no."""

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width = {self.width} is not a multiple of heads = {self.heads}; change one")
        if self.norm == "post" and not self.embedding_norm:
            raise ValueError('norm = "post" is BERT, whose embeddings are normed; set embedding_norm = true')
        is_modern = self.norm == "pre" and self.embedding_norm and self.activation == "geglu"
        if (self.positions == "rotary" or self.activation == "geglu") and not (
            self.positions == "rotary" and is_modern
        ):
            # No class of stock transformers computes another combination, so it could not be exported.
            raise ValueError(
                'positions = "rotary" and activation = "geglu" go together (ModernBERT), with norm = "pre" and '
                "embedding_norm = true; change those keys"
            )
        if self.first_weights == "cooccurrence" and (self.norm != "pre" or self.positions != "learned"):
            raise ValueError('first_weights = "cooccurrence" goes with norm = "pre" and positions = "learned"')
        if self.local_attention is not None and self.positions != "rotary":
            raise ValueError('local_attention goes with positions = "rotary" (ModernBERT); leave it out')
        if self.norm == "pre" and self.embedding_norm and self.activation == "gelu_tanh":
            # RobertaPreLayerNorm's head always uses erf-gelu, so the export would compute something else.
            raise ValueError('activation = "gelu_tanh" cannot be exported with pre-norm and embedding_norm; use "gelu"')
        return self


_MAX_PADDING_SHARE = 1 / 8
"""Largest share of padding rows allowed when the batch does not divide evenly, e.g. on 7 GPUs."""


class BatchSection(RecipeSection):
    sequences: StepSize = 4096
    """Sequences in one step over all ranks. Source: Izsak et al. 2021, table 3."""
    ramp: list[tuple[Annotated[float, Field(gt=0.0, lt=1.0)], StepSize]] = []
    """Smaller steps at the start: [[0.1, 256], [0.3, 1024]] is 256 up to a tenth of the budget, 1024 up to three
    tenths, then `sequences`. The learning rate does not follow. Source: Geiping & Goldstein 2022; 24hBERT: none."""
    micro: StepSize | Literal["auto"] = 32
    """Sequences in one forward pass of one rank; auto measures which size that fits is fastest. It divides the batch
    and changes only rounding and dropout's random numbers. Source: Izsak et al. 2021, table 6, Titan-V."""

    @model_validator(mode="after")
    def _check_ramp_rises(self) -> Self:
        shares = [share for share, _ in self.ramp]
        if shares != sorted(set(shares)):
            raise ValueError(f"ramp: the shares of the budget are {shares}; let each be larger than the one before")
        return self

    @property
    def step_sizes(self) -> list[int]:
        """Every number of sequences that a step can have."""
        return [*(size for _, size in self.ramp), self.sequences]

    def num_padding_rows(self, size: int, *, micro: int, num_devices: int) -> int:
        """Padding rows if every device does the same number of full micro-batches for a step of `size` sequences."""
        return -size % (micro * num_devices)

    def divides_among(self, num_devices: int, *, micro: int | None = None) -> bool:
        """Whether every step can be divided so with few padding rows; `micro` defaults to the recipe's."""
        rows = micro or (1 if self.micro == "auto" else self.micro)
        padding_rows = {
            size: self.num_padding_rows(size, micro=rows, num_devices=num_devices) for size in self.step_sizes
        }
        return all(rest <= _MAX_PADDING_SHARE * (size + rest) for size, rest in padding_rows.items())

    def sequences_at(self, progress: float) -> int:
        """Sequences in a step at this share of the budget."""
        return next((size for until, size in self.ramp if progress < until), self.sequences)

    def mean_sequences(self, progress: float) -> float:
        """Mean sequences in a step, over the steps left of a budget of steps."""
        return sum(share * size for share, size in self._remaining_sizes(progress))

    def steps_per_sequence(self, progress: float) -> float:
        """Mean steps per sequence over the rest of a budget of hours or sequences: throughput is taken as constant."""
        return sum(share / size for share, size in self._remaining_sizes(progress))

    def _remaining_sizes(self, progress: float) -> list[tuple[float, int]]:
        """Each step size still to come, with its share of what is left of the budget."""
        begin, left = min(progress, 1.0), []
        for until, size in [*self.ramp, (1.0, self.sequences)]:
            if until > begin:
                left.append((until - begin, size))
                begin = until
        total = sum(share for share, _ in left)
        return [(share / total, size) for share, size in left] or [(1.0, self.sequences)]


def _check_duration(text: str) -> str:
    if not parse_duration(text) > 0:
        raise ValueError("an interval must be longer than 0; write 1s or more")
    return text


def _check_stop_rule(text: str) -> str:
    parse_stop_rule(text)
    return text


Duration = Annotated[str, AfterValidator(_check_duration)]


class RunSection(RecipeSection):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    """Letters, digits, dot, dash and underscore; names the run's folder."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 42
    """Decides initial weights, order, masks and dropout. Source: the old code's default."""


class BudgetSection(RecipeSection):
    hours: Annotated[float, Field(gt=0, le=MAX_HOURS)] | None = None
    """Charged wall-clock hours."""
    gpu_hours: Annotated[float, Field(gt=0, le=MAX_HOURS)] | None = None
    """Charged hours times devices."""
    steps: Annotated[int, Field(gt=0, le=MAX_STEPS_OR_SEQUENCES)] | None = None
    """Optimizer updates."""
    sequences: Annotated[int, Field(gt=0, le=MAX_STEPS_OR_SEQUENCES)] | None = None
    """Sequences consumed."""

    @model_validator(mode="after")
    def _check_exactly_one_unit(self) -> Self:
        given = [name for name in BudgetUnit if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(BudgetUnit)}; given: {', '.join(given) or 'none'}")
        return self

    @property
    def unit(self) -> BudgetUnit:
        return next(unit for unit in BudgetUnit if getattr(self, unit) is not None)

    @property
    def amount(self) -> float:
        return float(getattr(self, self.unit))


def _shards_form(value: object) -> str:
    return "weights" if isinstance(value, dict) else "path"


class DataSection(RecipeSection):
    shards: Annotated[
        Annotated[str, Field(min_length=1), Tag("path")]
        | Annotated[dict[Annotated[str, Field(min_length=1)], MixtureWeight], Field(min_length=1), Tag("weights")],
        Discriminator(_shards_form),
    ]
    """Folder of a prepared data set, or several with weights, {wiki = 3, books = 1}: shares of the sequences. A
    relative path is resolved when the recipe is submitted."""
    sequence_length: Annotated[int, Field(ge=MIN_SEQUENCE_LENGTH, le=MAX_SEQUENCE_LENGTH)] = 128
    """Tokens in a sequence, [CLS] and [SEP] included. Source: Izsak et al. 2021, section 3."""
    packing: Literal["full", "sentences"] = "full"
    """full: contiguous windows, no padding; sentences: whole sentences of one document, padded."""

    @property
    def weights(self) -> dict[str, int]:
        """The data sets by path, with their weights; one alone has the weight 1."""
        return {self.shards: 1} if isinstance(self.shards, str) else self.shards

    @property
    def shards_text(self) -> str:
        """The data sets on one line, as a recipe writes them."""
        return self.shards if isinstance(self.shards, str) else format_weights(self.shards)


class MaskingSection(RecipeSection):
    rate: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.15
    """Share of tokens to predict in training; validation always has 15 %. Source: Devlin et al. 2019, section 3.1."""
    max_predictions: Annotated[int, Field(ge=1, le=MAX_SEQUENCE_LENGTH)] = 20
    """Largest number of predictions in a sequence. Source: the old code's max_predictions_per_seq."""
    replace: tuple[Share, Share, Share] = (0.8, 0.1, 0.1)
    """Shares of predicted tokens that become [MASK], a random word piece, stay. Source: Devlin et al. 2019."""
    unit: Literal["token", "word"] = "token"
    """word predicts every piece of a word or none. Source: Izsak et al. 2021's code: token."""
    copies: Annotated[int, Field(ge=0, le=_MAX_COUNT)] = 10
    """Fixed masks per sequence, used in turn, one per epoch; 0 draws new ones in every epoch, which makes a difference
    from the eleventh epoch on. Source: Izsak et al. 2021, section 3."""

    @model_validator(mode="after")
    def _check_shares_sum_to_one(self) -> Self:
        if abs(sum(self.replace) - 1.0) > 1e-6:
            raise ValueError(f"replace = {list(self.replace)} sums to {sum(self.replace):g}; make it 1")
        return self

    def predictions(self, sequence_length: int) -> int:
        """Number of predicted tokens in a full sequence: fixed, so that every batch has the same shape."""
        return max(1, min(self.max_predictions, round(self.rate * sequence_length)))


class OptimizerSection(RecipeSection):
    kind: Literal["adamw", "lamb", "muon"] = "adamw"
    """muon: on the hidden matrices, AdamW for the rest. Source: Izsak et al. 2021, section 3: adamw."""
    peak_lr: PositiveFloat = 2e-3
    """Learning rate after warm-up. Source: Izsak et al. 2021, table 3, search 1."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.98)
    """Decay of Adam's first and second moments. Source: Izsak et al. 2021, section 3."""
    eps: PositiveFloat = 1e-6
    """Of Adam's divisor. Source: Izsak et al. 2021, section 3."""
    weight_decay: NonNegativeFloat = 0.01
    """Decoupled from the gradient; not on biases and norms. Source: Izsak et al. 2021, section 3."""
    clip: NonNegativeFloat = 0.0
    """Largest global gradient norm; 0 turns clipping off. Source: Izsak et al. 2021, table 5."""


class ScheduleSection(RecipeSection):
    curve: Literal["linear", "cosine", "exponential", "trapezoid", "constant"] = "linear"
    """Shape after warm-up. Source: Izsak et al. 2021, section 3: linear."""
    end: Share = 0.0
    """Share of the peak rate at the very end of the budget; constant requires 0, exponential more than 0."""
    decay: Annotated[float, Field(gt=0.0, le=1.0)] = 0.2
    """trapezoid: share of the budget, at its end, over which the rate falls. Source: Hagele et al. 2024."""
    warmup: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.06
    """Share of the budget over which the rate rises from 0. Source: Izsak et al. 2021, table 3."""

    @model_validator(mode="after")
    def _check_curve_settings(self) -> Self:
        if self.curve == "exponential" and self.end == 0.0:
            raise ValueError('curve = "exponential" never reaches end = 0; set end, such as 0.01, or use "linear"')
        if self.curve == "constant" and self.end != 0.0:
            raise ValueError(
                f'end = {self.end:g} has no effect on curve = "constant", which stays at the peak; leave end out, or '
                'use "linear"'
            )
        if self.curve == "trapezoid" and self.warmup + self.decay > 1.0:
            raise ValueError(
                f"warmup = {self.warmup:g} and decay = {self.decay:g} exceed the budget; make them sum to 1"
            )
        return self


class PrecisionSection(RecipeSection):
    mode: Literal["auto", "bf16", "fp16", "fp32", "fp8"] = "auto"
    """auto: bf16 if the GPU has it, fp16 with a loss scaler on older ones, fp32 on CPU. fp8: bf16 with the larger of
    the encoder's linear layers in 8 bits by torchao; not tested on a GPU, so compare its loss over time."""
    kernels: Literal["auto", "compile", "apex", "eager"] = "auto"
    """auto: measures which of those that work here is fastest; eager if the budget is too short for that to pay.
    apex: the installed parts of NVIDIA's apex, in eager mode; PyTorch's own for the rest."""
    deterministic: bool = False
    """On a GPU, compute the same bits each time: a resumed run then equals an uninterrupted one bit for bit, as it does
    on CPU. Slower, by how much is not measured: deterministic algorithms alone, neither cuDNN's attention nor apex, and
    nothing chosen by timing, so that batch.micro must be a number. Changes rounding and what dropout draws."""

    compile_unit: Literal["model", "layer"] = "model"
    """Of compiled kernels: the model as one graph; or a graph for each kind of layer, which is less to compile and lets
    several ranks exchange a layer's gradients during the backward pass, but fuses nothing across layers. Rounding and
    the numbers that dropout draws differ. Untried on a GPU."""
    product_search: bool = False
    """Of compiled kernels: time several kernels for each matrix product of training, PyTorch's and the compiler's own,
    and take the fastest. Minutes of compiling, charged, at the first start on a machine; later ones find the choice on
    disk. Rounding differs. Untried on a GPU."""
    fp8_products: Literal["large", "all"] = "large"
    """Of mode = "fp8": the layers' products that multiply in 8 bits, but for the last layer: the large ones, which are
    expected to gain, or all four of each layer. Untried on a GPU."""
    residual: Literal["fp32", "bf16"] = "fp32"
    """Format of the sum that runs through the layers, and of its gradient. bf16 rounds it at each addition: less memory
    and traffic, other numbers; only with bf16 or fp8 products. Untried on a GPU, so compare its loss over time."""

    @model_validator(mode="after")
    def _check_residual_has_bf16_products(self) -> Self:
        if self.residual == "bf16" and self.mode in ("fp16", "fp32"):
            raise ValueError(f'residual = "bf16" does not go with mode = "{self.mode}"; use mode = "bf16"')
        return self

    @model_validator(mode="after")
    def _check_fp8_without_apex(self) -> Self:
        if self.mode == "fp8" and self.kernels == "apex":
            raise ValueError('kernels = "apex" would replace the layers of mode = "fp8"; change one of them')
        return self

    @model_validator(mode="after")
    def _check_deterministic_without_apex(self) -> Self:
        if self.deterministic and self.kernels == "apex":
            raise ValueError('kernels = "apex": nobody has checked that they are deterministic; change one of them')
        return self

    @model_validator(mode="after")
    def _check_product_search_is_compiled_and_by_time(self) -> Self:
        if self.product_search and self.deterministic:
            raise ValueError("product_search chooses by time, which deterministic does not allow; change one of them")
        if self.product_search and self.kernels in ("eager", "apex"):
            raise ValueError(f'product_search needs compiled kernels, not kernels = "{self.kernels}"; change one')
        return self

    @model_validator(mode="after")
    def _check_fp8_products_has_fp8(self) -> Self:
        if self.fp8_products == "all" and self.mode != "fp8":
            raise ValueError(f'fp8_products = "all" has no effect with mode = "{self.mode}"; use mode = "fp8"')
        return self


class ValidationSection(RecipeSection):
    every: Duration = "30min"
    """Charged time between validations. Source: Izsak et al. 2021, section 3."""
    early_every: Duration = "10min"
    """Charged time between validations at the start. Source: arXiv 2104.07705v1, footnote."""
    early_until: Share = 0.05
    """Share of the budget that counts as the start. Source: arXiv 2104.07705v1, footnote."""
    max_sequences: Annotated[int, Field(ge=1, le=_MAX_COUNT)] = 16384
    """Size of the fixed validation set, if the data set holds out that many: our choice, the paper has no number."""
    target_loss: PositiveFloat | None = None
    """Nats: the loss that the run should reach. It ends no run; an alert says when the forecast is that the budget will
    not reach it, and which budget would."""


class StopSection(RecipeSection):
    rules: list[Annotated[str, AfterValidator(_check_stop_rule)]] = []
    """Such as "after 3h loss > 6.0" (the newest validation loss). Source: Izsak et al. 2021, section 4."""
    on_nan: Literal["stop", "rollback"] = "stop"
    """When the loss is not finite: fail, or roll back to the checkpoint before it and skip the batches since, at most
    twice. Source of rollback: Chowdhery et al. 2022, section 5.1."""
    on_spike: Literal["alert", "hold", "stop", "rollback"] = "alert"
    """When the loss jumps out of its band or above 2 ln V, after an alert: nothing, pause hot for a person to decide,
    end the run with an export, or roll back as above. A slow rise only raises an alert. Source of alert: BLOOM, whose
    loss recovered from spikes by itself."""

    def parse_rules(self) -> list[StopRule]:
        return [parse_stop_rule(rule) for rule in self.rules]


class CheckpointSection(RecipeSection):
    every: Duration | Literal["auto"] = "auto"
    """Charged time between checkpoints; auto is the smaller of 10 min and 1 % of a timed budget."""
    keep: Annotated[int, Field(ge=1, le=_MAX_COUNT)] = 3
    """Newest checkpoints kept, in addition to those of markers and the one with the lowest validation loss."""
    markers: Annotated[list[Annotated[float, Field(gt=0.0, lt=1.0)]], Field(max_length=32)] = []
    """Shares of the budget at which a checkpoint is kept for good and an export written: `bertd finetune RUN@0.5`."""

    @model_validator(mode="after")
    def _check_markers_rise(self) -> Self:
        if self.markers != sorted(set(self.markers)):
            raise ValueError(f"markers = {self.markers} do not rise; write each once, in rising order")
        return self

    def interval_s(self, total_s: float | None) -> float:
        """Charged seconds between checkpoints; `total_s` is the budget's length, None for steps or sequences."""
        if self.every != "auto":
            return parse_duration(self.every)
        return 600.0 if total_s is None else min(600.0, 0.01 * total_s)


class FinetuneSection(RecipeSection):
    tasks: list[str] = []
    """GLUE tasks whose grids of finetunings score the run by itself, or "all"; without one there are none."""
    preset: Literal["quick", "fair", "paper", "modern"] = "fair"
    """Which settings a grid tries. Source of fair: Geiping & Goldstein 2022."""
    seeds: Annotated[int, Field(ge=1, le=1000)] | None = None
    """For each setting; without it as many as the preset has."""
    via: Literal["mnli"] | None = None
    """Finetune rte, mrpc and sts-b a second time, from the grid's best model of this task."""
    data: Annotated[str, Field(min_length=1)] | None = None
    """Folder of GLUE; a relative path is resolved when the recipe is submitted."""
    markers: Annotated[list[Annotated[float, Field(gt=0.0, le=1.0)]], Field(min_length=1, max_length=32)] = [1.0]
    """Shares of the budget whose exports get a grid: those of checkpoint.markers, and 1.0 for the run's end."""
    where: Literal["after", "free"] = "after"
    """after: all grids are queued when the run is done; free: each as soon as its export is there, on the devices that
    the run does not use."""

    @model_validator(mode="after")
    def _check_grid(self) -> Self:
        if not self.tasks:
            return self
        require_via(self.task_names, via=self.via)
        if self.data is None:
            raise ValueError("data is missing: the folder of GLUE that tasks are read from; add it")
        if self.markers != sorted(set(self.markers)):
            raise ValueError(f"markers = {self.markers} do not rise; write each once, in rising order")
        return self

    @property
    def task_names(self) -> list[str]:
        """The tasks, each once, with those of "all".

        Raises:
            ValueError: one is not GLUE's, or the preset has no settings for one that is named.
        """
        return parse_tasks(",".join(self.tasks), preset=Preset(self.preset)) if self.tasks else []


class DevicesSection(RecipeSection):
    kind: Literal["gpu", "cpu"] = "gpu"
    """There is no fallback: a run for GPUs never trains on the CPU."""
    count: Annotated[int, Field(ge=1, le=65_536)] = 8
    """Ranks: one per GPU; on the CPU, processes, at most one per core. Source: Izsak et al. 2021: 8 Titan-V."""
    memory: str | None = None
    """Least memory of each GPU, such as 24GiB: of cards of several sizes the smallest that have it are taken."""
    nodes: Annotated[int, Field(ge=1, le=1024)] = 1
    """Machines, each with `count` ranks; on the further ones `bertd join` starts them. See docs/multi-node.md."""
    min_nodes: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Machines with which the run goes on when others are lost; without it, all of them."""
    hosts: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.@:-]*$")]] = []
    """The further machines, as ssh knows them, where the run starts `bertd join` itself; empty: somebody does."""
    port: Annotated[int, Field(ge=1024, le=65_535)] = 29_400
    """Where the machines meet, on the first one. Source: torchrun's default."""

    @property
    def num_ranks(self) -> int:
        """Ranks of all machines."""
        return self.count * self.nodes

    @property
    def fewest_nodes(self) -> int:
        """Machines with which the run goes on."""
        return self.nodes if self.min_nodes is None else self.min_nodes

    @model_validator(mode="after")
    def _check_machines(self) -> Self:
        if self.fewest_nodes > self.nodes:
            raise ValueError(f"min_nodes = {self.min_nodes} is more than nodes = {self.nodes}; lower it")
        if self.hosts and len(self.hosts) != self.nodes - 1:
            raise ValueError(
                f"hosts names {len(self.hosts)} machines besides the first, and nodes = {self.nodes}; change one"
            )
        return self

    @property
    def memory_bytes(self) -> int | None:
        """The least memory in bytes; None where nothing is asked."""
        return None if self.memory is None else parse_bytes(self.memory)

    @model_validator(mode="after")
    def _require_memory_of_gpus(self) -> Self:
        if self.memory is not None:
            parse_bytes(self.memory)
            if self.kind == "cpu":
                raise ValueError("memory is of GPUs, and kind is cpu; leave it out")
        return self


class TrackersSection(RecipeSection):
    to: list[Literal["tensorboard", "wandb", "mlflow", "trackio"]] = []
    """Trackers that get the run's metrics as they are measured, from processes beside it that can neither stop nor slow
    it. Each needs its package; wandb, mlflow and trackio read their own environment variables."""
    every: Duration = "10s"
    """Charged time between two of the step records that they get; they get all validations."""

    @model_validator(mode="after")
    def _check_each_once(self) -> Self:
        if len(set(self.to)) < len(self.to):
            raise ValueError(f"to = {self.to} names one twice; write each once")
        return self


class Recipe(RecipeSection):
    """All sections of a recipe."""

    run: RunSection
    budget: BudgetSection
    data: DataSection
    masking: MaskingSection = MaskingSection()
    model: ModelSection = ModelSection()
    optimizer: OptimizerSection = OptimizerSection()
    schedule: ScheduleSection = ScheduleSection()
    batch: BatchSection = BatchSection()
    precision: PrecisionSection = PrecisionSection()
    validation: ValidationSection = ValidationSection()
    stop: StopSection = StopSection()
    checkpoint: CheckpointSection = CheckpointSection()
    devices: DevicesSection = DevicesSection()
    finetune: FinetuneSection = FinetuneSection()
    trackers: TrackersSection = TrackersSection()

    @model_validator(mode="after")
    def _check_batch_divides(self) -> Self:
        batch, devices = self.batch, self.devices
        counts = [devices.count * nodes for nodes in range(devices.fewest_nodes, devices.nodes + 1)]
        count = next((count for count in counts if not batch.divides_among(count)), None)
        if count is None:
            return self
        micro = 1 if batch.micro == "auto" else batch.micro
        size = max(
            batch.step_sizes, key=lambda size: batch.num_padding_rows(size, micro=micro, num_devices=count) / size
        )
        num_padding = batch.num_padding_rows(size, micro=micro, num_devices=count)
        what = f"sequences = {size}" if size == batch.sequences else f"ramp: a step of {size}"
        ranks = "devices.count" if devices.nodes == 1 else "devices.count x nodes"
        of = f"{ranks} = {count}" if batch.micro == "auto" else f"micro x {ranks} = {micro} x {count}"
        raise ValueError(
            f"[batch] {what} would leave {num_padding} of {size + num_padding} rows empty: it is not a multiple "
            f"of {of}; change one"
        )

    @model_validator(mode="after")
    def _check_finetune_markers_are_exported(self) -> Self:
        if not self.finetune.tasks:
            return self
        missing = [each for each in self.finetune.markers if each < 1.0 and each not in self.checkpoint.markers]
        if missing:
            raise ValueError(
                f"[finetune] markers: nothing is exported at {missing[0]:g}, since checkpoint.markers = "
                f"{self.checkpoint.markers} lacks it; add it there"
            )
        return self

    @model_validator(mode="after")
    def _check_deterministic_leaves_nothing_to_time(self) -> Self:
        if self.precision.deterministic and self.batch.micro == "auto":
            raise ValueError(
                '[precision] deterministic = true: batch.micro = "auto" is chosen by timing, which differs between two '
                "runs; set it to a number"
            )
        return self

    @model_validator(mode="after")
    def _check_fp8_fits(self) -> Self:
        length = self.data.sequence_length
        if self.precision.mode == "fp8" and length % 16:
            raise ValueError(
                f'[precision] mode = "fp8": sequence_length = {length} is not a multiple of 16; change one'
            )
        if self.precision.mode == "fp8" and self.model.layers == 1:
            raise ValueError('[precision] mode = "fp8": leaves the last layer in bf16, and there is one; use "bf16"')
        return self

    @property
    def granted(self) -> Budget:
        """The recipe's budget, for the clock and the schedule."""
        return Budget(unit=self.budget.unit, amount=self.budget.amount, num_devices=self.devices.num_ranks)

    def with_budget(self, amount: float) -> Recipe:
        """A copy with another amount, in the unit of its budget."""
        unit = self.budget.unit
        is_whole = unit in (BudgetUnit.STEPS, BudgetUnit.SEQUENCES)
        section = BudgetSection.model_validate({unit.value: int(amount) if is_whole else float(amount)})
        return self.model_copy(update={"budget": section})
