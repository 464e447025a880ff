"""What each Ray Train worker of a training job runs: the composition root behind the ports of `training.loop`."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import torch

from raybind.app.validation import Validation, spread
from raybind.config.train import TrainConfig
from raybind.data.faults import FaultCounts
from raybind.data.manifest import read_split
from raybind.data.order import Batching
from raybind.data.reader import SampleReader
from raybind.data.storage import open_storage
from raybind.evaluation.items import EncodeTexts
from raybind.evaluation.known_texts import KnownTexts
from raybind.integrations.deepspeed import DeepSpeedEngine
from raybind.integrations.mlflow import MlflowSink, TrackedRun
from raybind.integrations.progress import QueueSink
from raybind.integrations.ray_data import worker_batches
from raybind.integrations.ray_train import RayWorkerContext
from raybind.modalities import get_modality
from raybind.model.architecture import ClipArchitecture
from raybind.model.encode import remembering, text_encoder
from raybind.model.prompts import modality_templates
from raybind.model.tokenizer import Tokenizer
from raybind.training.batch import Collator
from raybind.training.checkpoint import (
    check_base,
    load_parameters,
    read_optimizer,
    read_parameters,
    read_state,
    restore_generator,
)
from raybind.training.loop import Loop
from raybind.training.ports import Engine, MetricSink, WorkerContext
from raybind.training.schedule import Schedule
from raybind.training.task import starting_model
from raybind.training.text_embeddings import require_cache


def train_worker(arguments: dict[str, Any]) -> None:
    """What each Ray Train worker runs: build the parts, restore, loop."""
    config = TrainConfig.model_validate(arguments["config"])
    batching, schedule = arguments["plan"]
    torch.set_num_threads(config.cluster.threads_per_worker)
    context = RayWorkerContext(arguments["watch"])
    try:
        _train(config, batching, schedule, context, arguments)
    finally:
        context.heartbeat.stop()


def _train(
    config: TrainConfig,
    batching: Batching,
    schedule: Schedule,
    context: RayWorkerContext,
    arguments: dict[str, Any],
) -> None:
    share = batching.share(context.world_size, config.micro_batch_size)
    if context.device.type == "cpu" and config.training.precision == "bf16":
        # The plain kernel's backward pass is the faster one there: a whole step takes 0.8 of the time (torch 2.14).
        torch.backends.cuda.enable_flash_sdp(False)
    torch.manual_seed(config.run.seed + context.rank)
    with context.latest_checkpoint() as folder:
        state = read_state((folder / "state.json").read_bytes()) if folder else None
        first_step = state.step if state else 0
        # The driver made the data sets from the same checkpoint's cursor; the loop checks every batch against its step.
        batches = worker_batches(schedule.total_steps, config.cluster.num_workers, first_step)
        model, base_fingerprint = starting_model(config, with_language=config.data.text_embeddings == "computed")
        model.encoder.vision.recompute_blocks = config.training.activation_checkpointing
        if state is not None and folder is not None:
            check_base(state, base_fingerprint)
            load_parameters(model, read_parameters(folder))
        engine = DeepSpeedEngine(model, config, share)
        if state is not None and folder is not None:
            engine.load_optimizer_state(read_optimizer(folder, state))
            restore_generator(folder, context.rank)

    arch = model.arch
    tokenizer = Tokenizer(arch.text.vocab_size, arch.text.context_length)
    loop = Loop(
        config=config,
        engine=engine,
        collate=Collator(
            tokenizer,
            arch.vision.num_patches,
            config.model.mask_ratio,
            config.run.seed,
            context.device,
            get_modality(config.data.modality),
            config.data.preprocess,
        ),
        batches=batches,
        batching=batching,
        num_parts=share.num_parts,
        schedule=schedule,
        context=context,
        sink=_sink(context, arguments),
        base_fingerprint=base_fingerprint,
        data_digest=arguments["data_digest"],
        sample_log=_sample_log(config, context),
        faults=state.faults if state is not None and context.rank == 0 else FaultCounts(),
        validate=_validation(config, arch, tokenizer, engine, context, base_fingerprint),
    )
    loop.run(first_step)


def _sample_log(config: TrainConfig, context: RayWorkerContext) -> TextIO | None:
    if config.training.sample_log is None:
        return None
    folder = Path(config.training.sample_log)
    folder.mkdir(parents=True, exist_ok=True)
    return (folder / f"{context.start}-rank-{context.rank}.jsonl").open("w")


def _validation(
    config: TrainConfig,
    arch: ClipArchitecture,
    tokenizer: Tokenizer,
    engine: Engine,
    context: WorkerContext,
    base_fingerprint: str | None,
) -> Validation | None:
    validation, data = config.validation, config.data
    if validation.split is None:
        return None
    index = read_split(open_storage(data.root), data.modality, validation.split)
    numbers = spread(len(index), validation.max_samples)
    encode_texts: EncodeTexts = text_encoder(engine.encode_text, tokenizer, context.device)
    if data.text_embeddings == "cached":
        assert base_fingerprint is not None
        encode_texts = KnownTexts(require_cache(config, index, base_fingerprint), numbers)
    elif not config.model.train_language:
        encode_texts = remembering(encode_texts)
    return Validation(
        reader=SampleReader(index, data, arch.vision.input, config.run.seed),
        numbers=numbers,
        engine=engine,
        encode_texts=encode_texts,
        context=context,
        label_set=validation.label_set,
        templates=validation.templates or modality_templates(get_modality(data.modality).photo_words),
    )


class _FanOut:
    """Several sinks as one; none for the ranks that record nothing."""

    def __init__(self, *sinks: MetricSink) -> None:
        self._sinks = sinks

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        for sink in self._sinks:
            sink.log(step, metrics)

    def write(self, name: str, text: str) -> None:
        for sink in self._sinks:
            sink.write(name, text)

    def close(self) -> None:
        for sink in self._sinks:
            sink.close()


def _sink(context: RayWorkerContext, arguments: dict[str, Any]) -> MetricSink:
    if context.rank != 0:
        return _FanOut()
    spool = Path(tempfile.mkdtemp(prefix="raybind-metrics-")) / "metrics.jsonl"
    sink = MlflowSink(TrackedRun(*arguments["mlflow"]), spool)
    return _FanOut(sink, QueueSink(arguments["queue"])) if arguments["queue"] is not None else sink
