"""Configuration of a training run (`jobs/train.py`). Defaults are the paper's depth column of Table 12."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from raybind.config.base import Config
from raybind.config.data import DataConfig, PromptTemplate
from raybind.config.model import ModelConfig


class RunConfig(Config):
    """What the run is called and where it leaves its files."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.\-]+$")]
    """Name of the run below `output`; starting a run of a name that exists resumes it."""
    output: str = "runs"
    """Local folder or `s3://bucket/prefix` for checkpoints and the metrics log."""
    seed: int = Field(default=0, ge=0)
    """Of everything drawn: order, masks, key frames, captions, fresh weights."""


class OptimizerConfig(Config):
    """AdamW (Table 12). No decay for parameters with one dimension, class tokens and the patch embedding."""

    lr: float = Field(default=5e-4, gt=0)
    """Peak learning rate (Table 12: 5e-4 depth and audio, 1e-4 video and infrared)."""
    betas: tuple[float, float] = (0.9, 0.98)
    """Momentum (Table 12)."""
    eps: float = Field(default=1e-6, gt=0)
    """Official scripts."""
    pretrained_lr_coefficient: float = Field(default=1.0, gt=0)
    """Multiplies the learning rate of all that trains but LoRA, which is the only part that does not start pretrained
    (the temporal embedding, also random, counts with the rest). Table 12: 1 for video, 1e-3 for CLIP4Clip and the other
    modalities; the official scheduler overwrote it, so the published weights were trained with 1."""
    language_lr_coefficient: float = Field(default=1.0, gt=0)
    """Multiplies the learning rate of the language encoder where it trains, beside the coefficient above. A small base
    learns to see more of what its captions name when its words keep still."""
    weight_decay: float = Field(default=0.2, ge=0)
    """Table 12."""
    max_grad_norm: float | None = Field(default=None, gt=0)
    """Gradients are scaled down to this global norm; null leaves them as they are (official scripts)."""


class ScheduleConfig(Config):
    """Linear warm-up, then half a cosine down to 0 (Table 12)."""

    epochs: int = Field(default=1, ge=1)
    """Passes over the train split."""
    max_steps: int | None = Field(default=None, ge=1)
    """Stop here if the epochs are longer; the cosine ends here too."""
    warmup_steps: int | None = Field(default=None, ge=0)
    """Optimizer steps of warm-up (Table 12: 200 for depth and infrared, 2000 for video and audio)."""
    warmup_samples: int | None = Field(default=None, ge=0)
    """Warm-up counted in samples instead, so that it stays the same when the batch size changes."""

    @model_validator(mode="after")
    def _one_warmup(self) -> Self:
        if (self.warmup_steps is None) == (self.warmup_samples is None):
            raise ValueError(
                f"schedule.warmup_steps={self.warmup_steps} and schedule.warmup_samples={self.warmup_samples}: "
                "set exactly one of them"
            )
        return self


class TrainingConfig(Config):
    """The step and what is recorded of it."""

    global_batch_size: int = Field(default=1024, ge=2)
    """Samples of one optimizer step over all workers; all of them are each other's negatives (Table 12)."""
    grad_accum_steps: int = Field(default=1, ge=1)
    """Parts in which a worker encodes its share of the global batch, for batches that do not fit; the negatives and the
    gradients are those of the whole batch. More than 1 costs a second forward pass."""
    activation_checkpointing: bool = False
    """Keep each transformer block's input alone and compute the block again in the backward pass: memory for a third
    more time, with the same result."""
    precision: Literal["fp32", "bf16", "fp16"] = "bf16"
    """bf16, fp16: weights of 16 bits with a float32 master copy of what trains. fp16, for accelerators without
    bfloat16, scales the loss as far as its gradients allow and skips the steps in which they overflow."""
    zero_stage: Literal[0, 1, 2, 3] = 2
    """DeepSpeed ZeRO: what is partitioned over the workers (1 optimizer, 2 + gradients, 3 + parameters)."""
    offload: Literal["none", "optimizer", "parameters"] = "none"
    """What of ZeRO's partitions lies in the host's memory instead of the accelerator's: master copy, moments and
    AdamW's step; with `parameters`, the weights as well while no block uses them."""
    log_every_steps: int = Field(default=10, ge=1)
    """Steps between two records of the metrics."""
    checkpoint_every_steps: int = Field(default=500, ge=1)
    """Steps between two checkpoints; the last step always has one."""
    keep_checkpoints: int = Field(default=2, ge=1)
    """Checkpoints that stay in storage: the newest, or those best by `best_metric` and the newest."""
    best_metric: str | None = None
    """Metric of the validation by which checkpoints are kept, higher is better, e.g. val/zero_shot/top1; null keeps the
    newest."""
    sample_log: str | None = None
    """Local folder of each node into which its workers write the ids of every step's samples as they enter the encoder,
    one file per rank and start of the workers; null writes none."""


class ValidationConfig(Config):
    """Evaluation on the side, whenever a checkpoint is written; the training itself is the same with and without it."""

    split: str | None = "val"
    """Split to evaluate on; null evaluates nothing."""
    max_samples: int = Field(default=512, ge=1)
    """Samples at most, spread evenly over the split; they stay in the workers' memory."""
    label_set: str | None = None
    """Labels to classify by; null takes the modality's own, else `label`, else does retrieval only."""
    templates: tuple[PromptTemplate, ...] | None = None
    """Prompt templates, each with one `{}` for the class name; null takes OpenCLIP's 80 in the modality's words."""


class CacheConfig(Config):
    """Copies of shards on the disk of each machine that reads, for data in object storage."""

    folder: str | None = None
    """A local folder for whole shards, kept from epoch to epoch and from run to run; null: every sample is read from
    the data set's root by a request of its own."""
    max_gb: float = Field(default=200, gt=0)
    """Its size, 10^9 bytes; what was not read for longest is deleted. It must hold a shuffle window."""


class ClusterConfig(Config):
    """What the run takes of the Ray cluster."""

    num_workers: int = Field(default=1, ge=1)
    """Training processes; one per GPU where there are GPUs."""
    min_workers: int | None = Field(default=None, ge=1)
    """Go on with as few as these when nodes are lost, and grow back to `num_workers` when they return; the global
    batches stay the same. null waits until there is room for `num_workers`."""
    resize_check_seconds: float = Field(default=60, gt=0)
    """How often room for more workers is looked for; growing goes back to the newest checkpoint."""
    hang_seconds: float = Field(default=300, gt=0)
    """A worker that stands still for longer is taken for hung: it is named, killed, and the workers start again. Must
    be longer than the longest step, validation or wait for data. A start has ten minutes in any case."""
    use_gpu: bool = False
    """One GPU per worker."""
    worker_cpus: float = Field(default=1, gt=0)
    """CPUs reserved per worker."""
    threads_per_worker: int = Field(default=1, ge=1)
    """Threads of torch's operators in a worker."""
    reader_cpus: float = Field(default=1, gt=0)
    """CPUs of one reading task; what the workers leave over decides how many read at once."""
    cache: CacheConfig = CacheConfig()
    max_failures: int = Field(default=3, ge=0)
    """Times the run restarts from its newest checkpoint when a worker dies."""


class TrackingConfig(Config):
    """MLflow."""

    uri: str | None = None
    """Tracking server or `sqlite:///...`; null takes MLFLOW_TRACKING_URI, else `sqlite:///<output>/mlflow.db`."""
    experiment: str = "raybind"
    """MLflow experiment the run belongs to."""


class TrainConfig(Config):
    """One modality bound to language, or a base pretrained."""

    run: RunConfig
    data: DataConfig
    model: ModelConfig = ModelConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig
    training: TrainingConfig = TrainingConfig()
    validation: ValidationConfig = ValidationConfig()
    cluster: ClusterConfig = ClusterConfig()
    tracking: TrackingConfig = TrackingConfig()

    @model_validator(mode="after")
    def _batch_divides(self) -> Self:
        batch, workers = self.training.global_batch_size, self.cluster.num_workers
        if batch % workers:
            raise ValueError(
                f"training.global_batch_size={batch} does not divide by cluster.num_workers={workers}; "
                f"the nearest sizes that do: {batch // workers * workers} and {(batch // workers + 1) * workers}"
            )
        share, parts = batch // workers, self.training.grad_accum_steps
        if share % parts:
            raise ValueError(
                f"training.grad_accum_steps={parts} does not divide the {share} samples of a worker "
                f"(training.global_batch_size={batch} over cluster.num_workers={workers}); the nearest that does: "
                f"{max(n for n in range(1, parts) if share % n == 0)}"
            )
        return self

    @model_validator(mode="after")
    def _fewest_are_fewer(self) -> Self:
        fewest, workers = self.cluster.min_workers, self.cluster.num_workers
        if fewest is not None and fewest > workers:
            raise ValueError(f"cluster.min_workers={fewest} is more than cluster.num_workers={workers}")
        return self

    @model_validator(mode="after")
    def _best_needs_validation(self) -> Self:
        if self.training.best_metric is not None and self.validation.split is None:
            raise ValueError(
                f"training.best_metric={self.training.best_metric!r} needs a validation, but validation.split=None; "
                "name a split"
            )
        return self

    @model_validator(mode="after")
    def _cached_means_frozen(self) -> Self:
        if self.data.text_embeddings == "cached" and self.model.train_language:
            raise ValueError(
                "data.text_embeddings=cached takes the embeddings of a frozen language encoder, but "
                "model.train_language=True trains it; set data.text_embeddings=computed"
            )
        return self

    @model_validator(mode="after")
    def _half_precision_has_a_master_copy(self) -> Self:
        precision = self.training.precision
        if precision != "fp32" and self.training.zero_stage == 0:
            raise ValueError(
                f"training.precision={precision} with training.zero_stage=0 would update {precision} weights without a "
                "float32 master copy; use training.zero_stage=1 or training.precision=fp32"
            )
        return self

    @model_validator(mode="after")
    def _offload_needs_partitions(self) -> Self:
        stage, offload = self.training.zero_stage, self.training.offload
        needed = {"none": 0, "optimizer": 1, "parameters": 3}[offload]
        if stage < needed:
            raise ValueError(
                f"training.offload={offload} moves partitions that training.zero_stage={stage} does not make; use "
                f"training.zero_stage={needed}"
            )
        return self

    @model_validator(mode="after")
    def _coefficient_acts_on_pretrained_weights(self) -> Self:
        coefficient = self.optimizer.pretrained_lr_coefficient
        if coefficient != 1 and (self.model.tuning == "scratch" or self.model.base.weights is None):
            raise ValueError(
                f"optimizer.pretrained_lr_coefficient={coefficient} slows down what starts pretrained, but with "
                f"model.tuning={self.model.tuning!r} and model.base.weights={self.model.base.weights!r} the encoder "
                "starts random; set it to 1"
            )
        return self

    @property
    def micro_batch_size(self) -> int:
        """Samples one worker encodes at a time, at most."""
        return self.training.global_batch_size // self.cluster.num_workers // self.training.grad_accum_steps
