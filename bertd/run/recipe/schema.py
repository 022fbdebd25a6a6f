"""The recipe: one TOML file, one run. The mathematics of a run depends on it and its seed, and on nothing else.

The sections of model and batch lie in modules of their own. bertd/run/recipe/load.py reads and writes recipes.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from bertd.records import BudgetUnit
from bertd.run.budget import MAX_HOURS, MAX_STEPS_OR_SEQUENCES, Budget
from bertd.run.durations import parse_duration
from bertd.run.recipe.stop_rules import StopRule, parse_stop_rule

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class RecipeSection(BaseModel):
    """Frozen; unknown keys are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


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


_MAX_PADDING_SHARE = 1 / 8
"""Of a step's rows: what may be computed for nothing where the batch does not come out even, on 7 GPUs of 8 say."""


class BatchSection(RecipeSection):
    sequences: PositiveInt = 4096
    """In one step over all ranks. Source: Izsak et al. 2021, table 3."""
    ramp: list[tuple[Annotated[float, Field(gt=0.0, lt=1.0)], PositiveInt]] = []
    """Smaller steps at the start: [[0.1, 256], [0.3, 1024]] is 256 up to a tenth of the budget, 1024 up to three
    tenths, then `sequences`. The learning rate does not follow. Source: Geiping & Goldstein 2022; 24hBERT: none."""
    micro: PositiveInt | Literal["auto"] = 32
    """In one forward pass of one rank; auto measures which is fastest of those that fit. It cuts the batch and changes
    nothing else but rounding and which numbers dropout draws. Source: Izsak et al. 2021, table 6, Titan-V."""

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
        """Rows that hold no sequence where every device does a step's `size` in equally many whole micro-batches."""
        return -size % (micro * num_devices)

    def divides_among(self, num_devices: int, *, micro: int | None = None) -> bool:
        """Whether steps can be cut so without much work for nothing; by default into micro-batches as set."""
        rows = micro or (1 if self.micro == "auto" else self.micro)
        padding_rows = {
            size: self.num_padding_rows(size, micro=rows, num_devices=num_devices) for size in self.step_sizes
        }
        return all(rest <= _MAX_PADDING_SHARE * (size + rest) for size, rest in padding_rows.items())

    def sequences_at(self, progress: float) -> int:
        """In a step at this share of the budget."""
        return next((size for until, size in self.ramp if progress < until), self.sequences)

    def mean_sequences(self, progress: float) -> float:
        """In a step, over the steps that are left of a budget that counts steps."""
        return sum(share * size for share, size in self._remaining_sizes(progress))

    def steps_per_sequence(self, progress: float) -> float:
        """Over what is left of a budget that counts hours or sequences, both of which flow evenly."""
        return sum(share / size for share, size in self._remaining_sizes(progress))

    def _remaining_sizes(self, progress: float) -> list[tuple[float, int]]:
        """Each size that is still to come, with its share of what is left."""
        begin, left = min(progress, 1.0), []
        for until, size in [*self.ramp, (1.0, self.sequences)]:
            if until > begin:
                left.append((until - begin, size))
                begin = until
        total = sum(share for share, _ in left)
        return [(share / total, size) for share, size in left] or [(1.0, self.sequences)]


def _check_duration(text: str) -> str:
    if not parse_duration(text) > 0:
        raise ValueError("an interval must be longer than nothing; write 1s or more")
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


class DataSection(RecipeSection):
    shards: Annotated[str, Field(min_length=1)]
    """Folder of a prepared data set; a relative one is taken from where the recipe is submitted."""
    sequence_length: Annotated[int, Field(ge=8, le=8192)] = 128
    """Tokens in a sequence, [CLS] and [SEP] included. Source: Izsak et al. 2021, section 3."""
    packing: Literal["full", "sentences"] = "full"
    """full: contiguous windows, no padding; sentences: whole sentences of one document, padded."""


class MaskingSection(RecipeSection):
    rate: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.15
    """Share of tokens to predict in training; validation always has 15 %. Source: Devlin et al. 2019, section 3.1."""
    max_predictions: PositiveInt = 20
    """Most predictions in a sequence. Source: the old code's max_predictions_per_seq."""
    replace: tuple[Share, Share, Share] = (0.8, 0.1, 0.1)
    """Shares of predicted tokens that become [MASK], a random word piece, stay. Source: Devlin et al. 2019."""
    unit: Literal["token", "word"] = "token"
    """word predicts every piece of a word or none. Source: Izsak et al. 2021's code: token."""
    copies: NonNegativeInt = 10
    """Fixed masks a sequence, one an epoch in turn; 0 draws new ones in every epoch, which differs from the eleventh
    on. Source: Izsak et al. 2021, section 3."""

    @model_validator(mode="after")
    def _check_shares_sum_to_one(self) -> Self:
        if abs(sum(self.replace) - 1.0) > 1e-6:
            raise ValueError(f"replace = {list(self.replace)} sums to {sum(self.replace):g}; make it 1")
        return self

    def predictions(self, sequence_length: int) -> int:
        """Predicted tokens in a full sequence: fixed, so that every batch has one shape."""
        return max(1, min(self.max_predictions, round(self.rate * sequence_length)))


class OptimizerSection(RecipeSection):
    kind: Literal["adamw", "lamb", "muon"] = "adamw"
    """muon: on the hidden matrices, AdamW for the rest. Source: Izsak et al. 2021, section 3: adamw."""
    peak_lr: PositiveFloat = 2e-3
    """Learning rate after warm-up. Source: Izsak et al. 2021, table 3, search 1."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.98)
    """Source: Izsak et al. 2021, section 3."""
    eps: PositiveFloat = 1e-6
    """Source: Izsak et al. 2021, section 3."""
    weight_decay: NonNegativeFloat = 0.01
    """Not on biases and norms. Source: Izsak et al. 2021, section 3."""
    clip: NonNegativeFloat = 0.0
    """Largest global gradient norm; 0 is off. Source: Izsak et al. 2021, table 5."""


class ScheduleSection(RecipeSection):
    curve: Literal["linear", "cosine", "exponential", "trapezoid", "constant"] = "linear"
    """Shape after warm-up. Source: Izsak et al. 2021, section 3: linear."""
    end: Share = 0.0
    """Share of the peak rate at the very end of the budget; constant refuses one, exponential needs more than 0."""
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
                f'end = {self.end:g} means nothing to curve = "constant", which stays at the peak; leave end out, or '
                'use "linear"'
            )
        if self.curve == "trapezoid" and self.warmup + self.decay > 1.0:
            raise ValueError(
                f"warmup = {self.warmup:g} and decay = {self.decay:g} exceed the budget; make them sum to 1"
            )
        return self


class PrecisionSection(RecipeSection):
    mode: Literal["auto", "bf16", "fp16", "fp32", "fp8"] = "auto"
    """auto: bf16 where the GPU has it, fp16 with a loss scaler on older ones, fp32 on CPU. fp8: bf16 with the larger of
    the encoder's linear layers in 8 bits by torchao; untried on a GPU, so compare its loss over time."""
    kernels: Literal["auto", "compile", "apex", "eager"] = "auto"
    """auto: the fastest of those that work here, measured; eager where the budget is too short for measuring to pay.
    apex: what of NVIDIA's apex is there, in eager mode; PyTorch's own for the rest."""

    @model_validator(mode="after")
    def _check_fp8_without_apex(self) -> Self:
        if self.mode == "fp8" and self.kernels == "apex":
            raise ValueError('kernels = "apex" would take the place of the layers of mode = "fp8"; change one of them')
        return self


class ValidationSection(RecipeSection):
    every: Duration = "30min"
    """Charged time between validations. Source: Izsak et al. 2021, section 3."""
    early_every: Duration = "10min"
    """The same at the start. Source: arXiv 2104.07705v1, footnote."""
    early_until: Share = 0.05
    """Share of the budget that counts as the start. Source: arXiv 2104.07705v1, footnote."""
    max_sequences: PositiveInt = 16384
    """Size of the fixed validation set, if the data set holds out that many: a choice, the paper does not say."""


class StopSection(RecipeSection):
    rules: list[Annotated[str, AfterValidator(_check_stop_rule)]] = []
    """Such as "after 3h loss > 6.0" (the newest validation loss). Source: Izsak et al. 2021, section 4."""
    on_nan: Literal["stop", "rollback"] = "stop"
    """When the loss is not finite: fail, or go back to the checkpoint before it and leave the batches since out, twice
    at most. Source of rollback: Chowdhery et al. 2022, section 5.1."""
    on_spike: Literal["alert", "hold", "stop", "rollback"] = "alert"
    """When the loss jumps out of its band or above 2 ln V, besides an alert: nothing, pause hot for a person to decide,
    end the run with an export, or as above. One that creeps up is told alone. Source of alert: BLOOM, whose spikes
    mended themselves."""

    def parse_rules(self) -> list[StopRule]:
        return [parse_stop_rule(rule) for rule in self.rules]


class CheckpointSection(RecipeSection):
    every: Duration | Literal["auto"] = "auto"
    """Charged time between checkpoints; auto is the smaller of 10 min and 1 % of a timed budget."""
    keep: PositiveInt = 3
    """Newest checkpoints kept. Those of markers and the one with the lowest validation loss are kept besides."""
    markers: Annotated[list[Annotated[float, Field(gt=0.0, lt=1.0)]], Field(max_length=32)] = []
    """Shares of the budget at which a checkpoint is kept for good and an export written: `bertd finetune RUN@0.5`."""

    @model_validator(mode="after")
    def _check_markers_rise(self) -> Self:
        if self.markers != sorted(set(self.markers)):
            raise ValueError(f"markers = {self.markers} do not rise; write each once, in rising order")
        return self

    def interval_s(self, total_s: float | None) -> float:
        """Charged seconds between checkpoints of a budget that lasts so long; None where work is budgeted."""
        if self.every != "auto":
            return parse_duration(self.every)
        return 600.0 if total_s is None else min(600.0, 0.01 * total_s)


class DevicesSection(RecipeSection):
    kind: Literal["gpu", "cpu"] = "gpu"
    """Never changed silently: a run for GPUs does not fall back to the CPU."""
    count: PositiveInt = 8
    """Ranks, one a GPU; on CPU processes, at most one a core. Source: Izsak et al. 2021: 8 Titan-V."""


class Recipe(RecipeSection):
    """Everything a run is made from."""

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

    @model_validator(mode="after")
    def _check_batch_divides(self) -> Self:
        batch, count = self.batch, self.devices.count
        if batch.divides_among(count):
            return self
        micro = 1 if batch.micro == "auto" else batch.micro
        size = max(
            batch.step_sizes, key=lambda size: batch.num_padding_rows(size, micro=micro, num_devices=count) / size
        )
        num_padding = batch.num_padding_rows(size, micro=micro, num_devices=count)
        what = f"sequences = {size}" if size == batch.sequences else f"ramp: a step of {size}"
        of = f"devices.count = {count}" if batch.micro == "auto" else f"micro x devices.count = {micro} x {count}"
        raise ValueError(
            f"[batch] {what} would leave {num_padding} of {size + num_padding} rows empty, being no multiple of "
            f"{of}; change one"
        )

    @model_validator(mode="after")
    def _check_fp8_fits(self) -> Self:
        length = self.data.sequence_length
        if self.precision.mode == "fp8" and length % 16:
            raise ValueError(f'[precision] mode = "fp8": sequence_length = {length} is no multiple of 16; change one')
        if self.precision.mode == "fp8" and self.model.layers == 1:
            raise ValueError('[precision] mode = "fp8": leaves the last layer in bf16, and there is one; use "bf16"')
        return self

    @property
    def granted(self) -> Budget:
        """The budget as the clock and the schedule use it."""
        return Budget(unit=self.budget.unit, amount=self.budget.amount, num_devices=self.devices.count)

    def with_budget(self, amount: float) -> Recipe:
        """The same with another amount of its budget's unit."""
        unit = self.budget.unit
        is_whole = unit in (BudgetUnit.STEPS, BudgetUnit.SEQUENCES)
        section = BudgetSection.model_validate({unit.value: int(amount) if is_whole else float(amount)})
        return self.model_copy(update={"budget": section})
