"""The loop: `fit` holds the package's only backward pass."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice
from statistics import fmean
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from resnets.data.batches.image_level import CPU
from resnets.data.randomness import mix_seed
from resnets.data.transforms import to_input
from resnets.data.types import Batch
from resnets.engine.checks import check_finite, check_learning, check_resumed, check_seen, check_weights, is_patient
from resnets.engine.clock import Clock
from resnets.engine.contract import Meter, accumulate
from resnets.engine.device import Device
from resnets.engine.job import Fit
from resnets.engine.optim import build_optimizer
from resnets.engine.orders import Orders, stop_signals
from resnets.engine.pace import Pace
from resnets.engine.resume import Position, State
from resnets.engine.run import Row
from resnets.errors import InputError, Interrupted
from resnets.models import weights
from resnets.models.model import Model
from resnets.models.nn import fused
from resnets.models.nn.layers import precise

REHEARSAL = 0.02  # of the time of a run
REHEARSED = 4  # batches that are enough where a batch has several images


def fit(job: Fit, *, resume: bool) -> Position:
    """Train to the end of the recipe, from the start or from the state in the run directory.

    Raises:
        Interrupted: after SIGINT or SIGTERM, with the state saved.
        InputError: where the run does not learn or turns NaN, or too many pictures cannot be read.
    """
    state, processes = start(job), job.processes
    if resume and processes.first(job.run.resume_tensors.exists):
        state.restore(job.run.resume_tensors)
        job.bad.reasons.update(state.at.bad_images)
        if processes.rank:  # what was saved are sums over all processes; the first one has them
            state.meter, state.at.num_images = job.meter(), 0
    at = state.at
    at.total_steps = job.schedule.num_steps or at.total_steps or job.schedule.steps_per_epoch
    if resume:
        lengthen(job, at)
    rows = [row for row in processes.first(job.run.read_metrics) if row["epoch"] <= at.epoch]
    check_resumed(job, at, rows)
    job.schedule = job.schedule.after(row["train_loss"] for row in rows)
    clock, pace = Clock(job, at), Pace.of(job)
    keep_step(job, state)

    with stop_signals() as noted:
        job.orders = Orders(noted, wish=(False, at.total_steps))
        rehearse(job, state, clock)
        try:
            while not at.finished:
                job.begin(at.epoch)
                clock.start_epoch()
                batches = job.train.epoch(at.epoch, at.batch * job.recipe.accumulate)
                while at.step < at.total_steps and (group := list(islice(batches, job.recipe.accumulate))):
                    at.batch += 1
                    if group := usable(job, group):
                        with pace.timed(sum(len(batch.images) for batch in group)):
                            loss = take_step(job, state, group)
                        if line := pace.told():
                            job.report.say(line)
                        after_step(job, state, clock, loss)
                rows.append(measure(job, state, clock))
                job.schedule = job.schedule.after(row["train_loss"] for row in rows)
                at.epoch, at.batch, at.num_images, state.meter = at.epoch + 1, 0, 0, job.meter()
                patient = is_patient(rows, f"val_{job.task.scores[0].key}", job.recipe.patience)
                at.finished = at.step >= at.total_steps or not patient
                # The state comes last, so that a kill in between leaves nothing that going on would not write again.
                keep(job, state, rows)
                if at.finished or clock.since_save() > min(5.0, job.recipe.save_every):
                    save(job, state, clock)
                job.report.epoch(rows[-1], at, clock.last_epoch)
                if not at.finished:
                    check_learning(rows, job)
                    job.adapt()
            if at.step < at.total_steps:
                job.report.say(f"stopped after {job.recipe.patience} epochs without a better validation score (--patience)")
        except Interrupted:
            save(job, state, clock)
            raise
    return at


def lengthen(job: Fit, at: Position) -> None:
    """Let a run go on that was made longer. From the step at which it stands, schedules are those of its new length; what was
    done before stays as it was. With a constant rate the whole is what a run of the new length would have been. Where nothing
    is left to train, that is said."""
    num = len(job.processes.first(lambda: job.run.read_provenance().get("lengthened", [])))
    if num > at.lengthened:
        if job.schedule.num_steps is None and at.step >= at.total_steps:  # until the clock has timed some steps
            at.total_steps = at.step + job.schedule.steps_per_epoch
        at.lengthened, at.finished = num, at.finished and at.step >= at.total_steps
        name, value = job.recipe.length
        job.report.say(f"length   {name}={value} now; the schedule is that of the new length from step {at.step} on")
    if at.finished:
        job.report.say("resume   the training is complete; what follows its last step is done again")


def start(job: Fit) -> State:
    """The state before the first step."""
    model, ema, autocast = job.model, job.recipe.ema, job.device.autocast
    weights.check_unchanged(model)  # not at the end, when the best weights cannot be loaded
    average = None if ema is None else AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema), use_buffers=True)
    scaler = torch.amp.GradScaler(job.device.torch_device.type, enabled=autocast is torch.float16)
    return State(model, build_optimizer(model, job.recipe), average, scaler, job.meter(), Position())


def usable(job: Fit, group: list[Batch]) -> list[Batch]:
    """The batches that batch norm can make something of: not those that are unreadable, or all but one picture.

    Several processes take every step together, whatever each has of it: what one has no use for is empty.
    """
    least = 1 if job.recipe.batch_size == 1 or (job.recipe.sync_bn and not job.processes.alone) else 2
    if job.processes.alone:
        return [batch for batch in group if len(batch.images) >= least]
    return [
        batch if len(batch.images) >= least else Batch(batch.images[:0], batch.targets[:0], batch.indices[:0])
        for batch in group
    ]


def agree(job: Fit, at: Position, num_images: int) -> int:
    """The pictures of the step under way, over all processes. In the same message, the only one a step beside the gradients'
    and batch norm's, the processes agree on what is to follow the step: a signal to any of them stops all, and the first
    one's clock counts for all."""
    orders, processes = job.orders, job.processes
    if processes.alone:
        return num_images
    mine = [num_images, max(orders.noted, default=0), *map(int, orders.wish)]
    numbers, signals, saves, totals = zip(*processes.gather_numbers(mine), strict=True)
    orders.stop, orders.save, at.total_steps = max(signals), bool(saves[0]), max(totals[0], at.step + 1)
    return max(1, sum(numbers))


def take_step(job: Fit, state: State, group: list[Batch]) -> Tensor:
    """One optimiser step over the batches of `group`; the mean loss of their pictures, of several processes this one's part."""
    recipe, device, at, processes = job.recipe, job.device, state.at, job.processes
    own_images = sum(len(batch.images) for batch in group)
    num_images = agree(job, at, own_images)
    lr = job.schedule.learning_rate(at.step, at.total_steps)
    # What the network draws (drop path) is a function of the step, and of several processes each draws its own.
    torch.manual_seed(mix_seed(recipe.seed, at.step, "network", *([processes.rank] if processes.rank else [])))
    for parameters in state.optimizer.param_groups:
        parameters["lr"] = lr * parameters["lr_scale"]
    state.optimizer.zero_grad(set_to_none=True)
    total = torch.zeros((), device=device.torch_device)
    for number, batch in enumerate(group, start=1):
        images, targets = on_device(shrunk(batch, job, at), device)
        with nullcontext() if processes.alone or number == len(group) else job.net.no_sync():
            with autocast(device):
                outputs = job.net(images, targets)
                losses = job.criterion(outputs, targets) if len(images) else {"loss": nothing(outputs)}
            share = len(images) / num_images
            state.scaler.scale(losses["loss"] * (share * processes.world)).backward()  # the mean over processes is taken of it
        total += losses["loss"].detach() * share
        with torch.no_grad():
            state.meter.learn(outputs, targets)
            accumulate(state.meter.sums, {name: precise(part) * len(images) for name, part in losses.items() if name != "loss"})
    accumulate(state.meter.sums, {"loss": precise(total) * num_images})
    at.num_images += own_images
    if recipe.clip_grad is not None:
        state.scaler.unscale_(state.optimizer)
        nn.utils.clip_grad_norm_(state.model.parameters(), recipe.clip_grad)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    if isinstance(state.average, AveragedModel):
        state.average.update_parameters(state.model)
    at.step += 1
    return total


def nothing(outputs: Any) -> Tensor:
    """0, from the outputs (tensors, perhaps in tuples and lists) of no image: with gradients that other processes wait for."""
    return outputs.sum() if isinstance(outputs, Tensor) else sum(map(nothing, outputs), torch.zeros(()))


def after_step(job: Fit, state: State, clock: Clock, loss: Tensor) -> None:
    """Tell, save and stop, when it is time to."""
    at, orders = state.at, job.orders
    clock.count_step()
    doubt(job, clock)
    keep_step(job, state)
    fitted = at.total_steps if job.recipe.seconds is None else clock.fit_steps(job.schedule.steps_per_epoch)
    orders.wish = clock.since_save() > job.recipe.save_every, fitted
    if job.processes.alone:
        orders.stop, orders.save, at.total_steps = max(orders.noted, default=0), *orders.wish
    due = bool(orders.stop) or orders.save
    if due or at.step % 10 == 0:  # reading the loss waits for the device
        check_finite(loss, at, job.schedule)
        job.report.step(at, job.schedule.steps_per_epoch, loss.item() * job.processes.world)
    if orders.stop:
        raise Interrupted(orders.stop, job.run.path)
    if due:
        save(job, state, clock)
        orders.wish = False, fitted


def doubt(job: Fit, clock: Clock) -> None:
    """Say, once, where `--time` is not enough."""
    if line := clock.doubt():
        job.report.say(line)


def shrunk(batch: Batch, job: Fit, at: Position) -> Batch:
    """The batch with pictures of the size that this step is to have: a multiple of the network's stride, in early steps."""
    if job.schedule.grow_from == 1 or not len(batch.images):
        return batch
    share, stride = job.schedule.share(at.step, at.total_steps), job.model.spec.levels[-1].stride
    size = [min(side, max(1, int(side * share) // stride) * stride) for side in batch.images.shape[2:]]
    if size == list(batch.images.shape[2:]) or share == 1:
        return batch
    return batch._replace(images=F.interpolate(batch.images, size, mode="bilinear", antialias=True))


def autocast(device: Device) -> torch.autocast:
    return torch.autocast(device.torch_device.type, device.autocast, enabled=device.autocast is not None)


def on_device(batch: Batch, device: Device) -> tuple[Tensor, Any]:
    return laid_out(batch.images, device), moved(batch.targets, device.torch_device)


def laid_out(images: Tensor, device: Device) -> Tensor:
    """Inputs on the device, in the memory order that it is fast with."""
    images = images.to(device.torch_device, non_blocking=True)
    order = fused.LAYOUTS.get(images.ndim) if device.channels_last else None
    return images.contiguous(memory_format=order or torch.contiguous_format)


def moved(value: Any, device: torch.device) -> Any:
    """Tensors, and those in lists and dicts, on `device`; anything else as it is."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if type(value) is list:
        return [moved(item, device) for item in value]
    return {name: moved(item, device) for name, item in value.items()} if type(value) is dict else value


def over_processes(job: Fit, sums: dict[str, Any], num_images: int) -> tuple[dict[str, Any], int]:
    """The sums and the number of pictures of all processes together. What any of them could not read, all know from here on."""
    if job.processes.alone:
        return sums, num_images
    own = {name: moved(value, CPU) for name, value in sums.items()}, num_images, job.bad.reasons
    whole: dict[str, Any] = {}
    total, job.bad.reasons = 0, {}
    for part, num, reasons in job.processes.gather(own):
        accumulate(whole, part)
        total += num
        job.bad.reasons |= reasons
    job.bad.check()
    return whole, total


def measure(job: Fit, state: State, clock: Clock) -> Row:
    """Validate, and make the epoch's row of metrics.csv, the same in all processes."""
    at = state.at
    state.meter.sums, num_images = over_processes(job, state.meter.sums, at.num_images)
    check_seen(job, num_images)
    check_finite(state.meter.sums["loss"], at, job.schedule)
    check_weights(kept(state), at, job.schedule)
    clock.stop_epoch()
    lr = job.schedule.learning_rate(max(0, at.step - 1), at.total_steps)
    train = scores_of(state.meter, num_images)
    began = time.perf_counter()
    job.processes.share_buffers(kept(state))
    val = validate(job, kept(state), job.orders.noted)
    clock.val_seconds = time.perf_counter() - began
    if job.recipe.seconds is not None and at.step < at.total_steps:
        at.total_steps = job.processes.first(lambda: clock.fit_steps(job.schedule.steps_per_epoch, validated=True))
    scores = {
        f"{split}_{name}": round(values[name], 6) for split, values in (("train", train), ("val", val)) for name in values
    }
    return {
        "epoch": at.epoch + 1,
        "step": at.step,
        "lr": round(lr, 8),
        **scores,
        "images_per_second": round(num_images / at.epoch_seconds, 1),
        "data_wait": round(at.epoch_wait / at.epoch_seconds, 4),
        "seconds": round(clock.seconds(), 2),
    }


def answered(job: Fit, model: Model, meter: Meter) -> Iterator[int]:
    """The batches of the validation split, each answered, and added to the meter; yields its number of readable images."""
    model.eval()
    header = model.header

    def run(pixels: Tensor) -> Any:
        return model(laid_out(to_input(pixels, header.preprocess, job.device.torch_device), job.device), quick=True)

    for batch in job.val.epoch(0):
        if len(batch.images):
            batch = batch._replace(targets=moved(batch.targets, job.device.torch_device))
            with autocast(job.device):
                meter.add(job.task.infer(run, batch.images, batch.sizes, header), batch)
        yield len(batch.images)


@torch.inference_mode()
def rehearse(job: Fit, state: State, clock: Clock) -> None:
    """With `--time`, find out before the first step how long a validation will take, by some of its images, of which no score
    is kept.

    It looks for `REHEARSAL` of the time of the run, or at `REHEARSED` batches of several images, and at one batch at least,
    after a first one, for which workers start and kernels are chosen; that one does not count where there are others.
    """
    if job.recipe.seconds is None or state.at.finished:
        return
    most = len(job.val) if job.task.own_size else REHEARSED
    took: list[float] = []
    last, cpu, job.val.data_wait = time.perf_counter(), time.thread_time(), 0.0
    for num in answered(job, kept(state), job.meter()):
        last, before = time.perf_counter(), last
        took += [last - before] * bool(num)
        if sum(took[1:]) > REHEARSAL * job.recipe.seconds or len(took) > most:
            break
    if took:
        clock.val_seconds = fmean(took[1:] or took) * len(job.val)
        clock.add_work(sum(took) - job.val.data_wait, time.thread_time() - cpu)
    doubt(job, clock)


@torch.inference_mode()
def validate(job: Fit, model: Model, stop: list[int]) -> dict[str, float]:
    """Mean loss and the task's scores over the validation split, every readable image once. Ends at a signal in `stop`."""
    meter, num_images = job.meter(), 0
    for num in answered(job, model, meter):
        num_images += num
        if stop:
            break
    if signals := [number for noted in job.processes.gather(stop[:1]) for number in noted]:
        raise Interrupted(signals[0], job.run.path)
    meter.sums, num_images = over_processes(job, meter.sums, num_images)
    if num_images == 0:
        raise InputError("no picture of the validation split can be read; `resnets data check` says why")
    return scores_of(meter, num_images)


def scores_of(meter: Meter, num_images: int) -> dict[str, float]:
    """Mean losses, and the scores of a quick meter."""
    sums = {name: value for name, value in meter.sums.items() if isinstance(value, Tensor)}
    means = {name: float(part) / num_images for name, part in sums.items() if part.ndim == 0 and part.is_floating_point()}
    return {**means, **meter.result(num_images)}


def kept(state: State) -> Model:
    """The weights that are validated and kept: the average where there is one."""
    model: Any = state.model if state.average is None else state.average.module
    return model


def keep(job: Fit, state: State, rows: list[Row]) -> None:
    """The epoch's files: metrics.csv, best.safetensors where no validation was better (or no training loss lower, where that
    selects), last.safetensors at the end."""
    at, row, model = state.at, rows[-1], kept(state)
    if job.processes.rank:
        return
    job.run.write_metrics(rows)
    at.bad_images = dict(job.bad.reasons)
    job.run.write_bad_images(at.bad_images)
    told = (key for key in row if key.startswith(("epoch", "step", "val_")))
    model.metadata["metrics"] = {key: row[key] for key in told if not math.isnan(row[key])}
    score = -row["train_loss"] if job.recipe.select == "train_loss" else row[f"val_{job.task.scores[0].key}"]
    # Of equals the later, for its learning rate was lower; and where nothing can be scored, the last.
    if score >= at.best or not at.best_epoch or math.isnan(score):
        at.best, at.best_epoch = at.best if math.isnan(score) else score, int(row["epoch"])
        weights.save(model, job.run.best)
    if at.finished:
        weights.save(model, job.run.last)


def keep_step(job: Fit, state: State) -> None:
    """Of the steps in `keep_at`, the weights as they are then. After a kill, the same steps write the same again."""
    if state.at.step in job.recipe.keep_at and not job.processes.rank:
        model = kept(state)
        header = dataclasses.replace(model.header, metrics={"step": state.at.step})
        weights.write_tensors(job.run.at_step(state.at.step), model.state_dict(), header.to_json())


def save(job: Fit, state: State, clock: Clock) -> None:
    """The state, to go on from; in the middle of an epoch several processes come here together, each with its sums."""
    at = state.at
    meter = job.meter()
    meter.sums, num_images = over_processes(job, state.meter.sums, at.num_images) if at.batch else ({}, 0)
    if not job.processes.rank:
        clock.stamp()
        at.bad_images = dict(job.bad.reasons)
        dataclasses.replace(state, meter=meter, at=dataclasses.replace(at, num_images=num_images)).save(job.run)
    clock.saved = time.perf_counter()
