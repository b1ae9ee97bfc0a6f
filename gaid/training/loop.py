"""Training one head with one seed: steps, evaluations, the best checkpoint, stopping and resuming.

The untrained head is the first candidate, so training can't make a run worse than no training on validation.
"""

import json
import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gaid import files
from gaid.console import Progress, StopWish, stop_on_signal
from gaid.errors import TrainingDiverged
from gaid.heads import Head
from gaid.heads.features import Features
from gaid.metrics import DIRECTIONS
from gaid.runs.files import CHECKPOINTS, KEPT, LOG, METRICS, RESUME, write_checkpoint
from gaid.training.batches import Batch, Batches, on_device
from gaid.training.optimiser import Average, make_optimiser, rate_factor
from gaid.training.options import TrainConfig
from gaid.training.state import Losses, State, load_state, save_state
from gaid.training.step import Step, make_step
from gaid.training.validation import Validation, kept_untrained, merit, notes_on_choice

if TYPE_CHECKING:
    from gaid.stores import Split

# Steps on a GPU between checks that the losses are still finite: each check waits for the device.
_CHECK_EVERY = 20
# Entries of the log that describe a checkpoint.
_KEPT_FIGURES = ("step", "epoch", *DIRECTIONS)


@dataclass
class Unchecked:
    """A step whose loss and gradient norm have not been checked yet: `finite` holds two booleans on the device."""

    step: int
    batch: Batch
    finite: Tensor


class Loop:
    """One training. `description` goes into its checkpoints: the head, the store."""

    def __init__(
        self,
        head: Head,
        config: TrainConfig,
        split: "Split",
        validation: Validation,
        out: Path,
        device: str,
        description: dict[str, Any],
        progress: bool = True,
    ) -> None:
        self.head, self.config, self.split, self.validation = head, config, split, validation
        self.out, self.device, self.description, self.shown = out, torch.device(device), description, progress
        self.conditioning = {"gate_by": "own_caption"} if config.protocol == "published" else {}
        self.data = Features.of(split, device, head)
        self.batches = Batches(split, config.batch_size, config.seed, config.epoch_of, config.sound_dropout)
        trainable = any(parameter.requires_grad for parameter in head.parameters())
        self.steps = config.epochs * self.batches.batches_per_epoch if trainable else 0
        self.optimiser = None
        if trainable:
            self.optimiser = make_optimiser(
                head, config.lr, config.weight_decay, self.device,
                decayed=config.decayed, eps=config.adam_eps, beta2=config.adam_beta2,
                decay_to=config.decay_to, rates=head.rates,
            )  # fmt: skip
        self.take_step: Step | None = None
        if self.optimiser is not None:
            self.take_step = make_step(head, self.optimiser, config.clip_norm, self.conditioning, self.device)
        self.average = Average(head, config.ema) if config.ema and trainable else None
        self.state = State()
        self.unchecked: list[Unchecked] = []
        self.board: Callable[[dict[str, Any]], None] = lambda entry: None

    @property
    def resume_file(self) -> Path:
        """Where an unfinished training keeps its state."""
        return self.out / CHECKPOINTS / f"{RESUME}.safetensors"

    @property
    def judged(self) -> Head:
        """The head that is evaluated and kept: the averaged one where weights are averaged."""
        return self.head if self.average is None else self.average.head

    def run(self) -> None:
        """Trains to the end. Raises TrainingDiverged; KeyboardInterrupt after the state is safe."""
        with ExitStack() as stack:
            if self.resume_file.exists():
                self.state = load_state(self.resume_file, self.head, self.optimiser, self.average, self.device)
                self._write_best()
                self._rewrite_log()
            if self.config.tensorboard:
                from gaid.training.board import open_board

                self.board = stack.enter_context(open_board(self.out / "tensorboard", self.state.step))
            title = f"{self.config.preset} seed {self.config.seed}"
            shown = stack.enter_context(Progress(title, self.steps, self.state.step, unit="", shown=self.shown))
            wish = stack.enter_context(stop_on_signal())
            begun = time.monotonic() - self.state.seconds
            if not self.state.log:
                self.validation.fit(self.head)
                self._evaluate(0.0, shown)
            while self.state.step < self.steps and not self._patience_is_over():
                self._epoch(wish, shown, begun)
                if wish:
                    self._check_finite()
                    self._save(time.monotonic() - begun)
                    shown.say(
                        f"{title}: stopped at step {self.state.step}; the same command with --resume continues it"
                    )
                    raise KeyboardInterrupt
            self._finish()
            assert self.state.best is not None
            found = self.state.best["t2v"]["R@1"]
            shown.say(
                f"{title}: best after epoch {self.state.best['epoch']} of {self.state.log[-1]['epoch']}, validation t2v "
                f"R@1 {found:.1f} ({self.validation.clips} clips); {self.state.seconds:.0f} s; {self.out}"
            )
            for note in notes_on_choice(self.validation.clips, self.state.best, self.state.log[-1]):
                shown.say(f"{title}: {note}")

    def _epoch(self, wish: StopWish, shown: Progress, begun: float) -> None:
        """The rest of the current epoch, with the evaluation at its end."""
        number, first = divmod(self.state.step, self.batches.batches_per_epoch)
        batches = self.batches.epoch(number)
        self.head.train()
        for batch, (inputs, same) in zip(batches[first:], on_device(self.data, batches, first), strict=True):
            self._step(batch, inputs, same)
            shown.advance()
            if wish:
                break
        self._check_finite()
        done, rest = divmod(self.state.step, self.batches.batches_per_epoch)
        if not rest and (done % self.config.evaluate_every == 0 or self.state.step == self.steps):
            self._evaluate(time.monotonic() - begun, shown)

    def _step(self, batch: Batch, inputs: tuple[Tensor, ...], same: Tensor | None) -> None:
        assert self.take_step is not None
        rate = self.config.lr * rate_factor(self.state.step, self.steps, self.config.warmup)
        taken = self.take_step(inputs, same, rate)
        self.unchecked.append(Unchecked(self.state.step, batch, taken.finite))
        if self.device.type == "cpu" or len(self.unchecked) >= _CHECK_EVERY:
            self._check_finite()
        if self.average is not None:
            self.average.update(self.head)
        self.state.losses.add(taken.losses)
        self.state.step += 1

    def _check_finite(self) -> None:
        """Raises TrainingDiverged at the first step whose loss or gradient was NaN or infinite."""
        if not self.unchecked:
            return
        finite = torch.stack([one.finite for one in self.unchecked]).cpu()
        for one, (loss, gradient) in zip(self.unchecked, finite.tolist(), strict=True):
            if not (loss and gradient):
                self._diverged("gradient" if loss else "loss", one)
        self.unchecked.clear()

    def _diverged(self, what: str, one: Unchecked) -> None:
        epoch, number = divmod(one.step, self.batches.batches_per_epoch)
        names = [self.split.video_ids[row] for row in one.batch.videos]
        text = (
            f"{self.out}: the {what} is NaN or infinite at step {one.step + 1} (epoch {epoch + 1}, batch {number + 1} of "
            f"{self.batches.batches_per_epoch}: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}); "
        )
        for kind, features, rows in (
            ("visual", self.data.visual, one.batch.videos),
            ("text", self.data.text, one.batch.captions),
        ):
            bad = ~torch.isfinite(features[torch.from_numpy(rows).to(self.device)]).flatten(1).all(1)
            if bad.any():
                name = names[int(bad.nonzero()[0])]
                raise TrainingDiverged(
                    text + f"the {kind} features of {name} are not finite: try gaid store verify {self.config.store}"
                )
        raise TrainingDiverged(text + f"lower the learning rate: --set lr={self.config.lr / 3:.1g}")

    def _evaluate(self, seconds: float, shown: Progress) -> None:
        """Evaluates the head, writes the checkpoints and one line of the log."""
        state, per_epoch = self.state, self.batches.batches_per_epoch
        epoch = state.step // per_epoch
        found = self.validation.evaluate(self.judged)
        if found is None:
            raise TrainingDiverged(
                f"{self.out}: validation scores are NaN after step {state.step} (epoch {epoch}); "
                + ("lower the learning rate" if state.step else f"try gaid store verify {self.config.store}")
            )
        means = state.losses.means()
        rate = self.config.lr * rate_factor(max(0, state.step - 1), self.steps, self.config.warmup)
        better = state.best is None or merit(found) > merit(state.best)
        entry = {
            "step": state.step,
            "epoch": epoch,
            "lr": rate if state.step else 0.0,
            "loss": means.pop("loss", None),
            "parts": {name: value for name, value in means.items() if math.isfinite(value)},
            **found,
            "best": better,
            "seconds": round(seconds, 3),
        }
        state.losses = Losses()
        state.log.append(entry)
        state.stale = 0 if better else state.stale + 1
        if better:
            state.best = {name: entry[name] for name in _KEPT_FIGURES}
            state.best_tensors = {n: t.detach().cpu().clone() for n, t in self.judged.state_dict().items()}
            self._write_best()
        figures = {name: entry[name] for name in _KEPT_FIGURES}
        self._write_checkpoint("last", self.judged.state_dict(), figures)
        if self.config.keep_checkpoints:
            self._write_checkpoint(f"{KEPT}{state.step:06d}", self.judged.state_dict(), figures)
        self._save(seconds)
        with (self.out / LOG).open("a") as file:
            file.write(json.dumps(entry, allow_nan=False) + "\n")
        self._write_metrics(finished=False)
        self.board(entry)
        assert state.best is not None
        shown.note(_in_words(entry, state.best))

    def _patience_is_over(self) -> bool:
        return bool(self.config.patience) and self.state.stale >= self.config.patience

    def _save(self, seconds: float) -> None:
        self.state.seconds = seconds
        save_state(
            self.resume_file,
            self.state,
            self.head,
            self.optimiser,
            self.average,
            self.device,
            self.description["store"],
        )

    def _write_best(self) -> None:
        if self.state.best is not None:
            self._write_checkpoint("best", self.state.best_tensors, self.state.best)

    def _write_checkpoint(self, name: str, tensors: dict[str, Tensor], figures: dict[str, Any]) -> None:
        validation = {way: figures[way] for way in DIRECTIONS}
        description = {**self.description, "step": figures["step"], "epoch": figures["epoch"], "validation": validation}
        folder = self.out / CHECKPOINTS
        write_checkpoint(folder / f"{name}.safetensors", tensors, description)
        files.write_json(folder / f"{name}.json", description)

    def _rewrite_log(self) -> None:
        """Writes the log that the state holds: a kill may have come between the two."""
        lines = "".join(json.dumps(entry, allow_nan=False) + "\n" for entry in self.state.log)
        files.write_bytes(self.out / LOG, lines.encode())

    def _write_metrics(self, finished: bool) -> None:
        state = self.state
        last = {name: state.log[-1][name] for name in _KEPT_FIGURES}
        assert state.best is not None
        stopped = None
        if finished:
            stopped = "epochs" if state.step >= self.steps else "patience"
        files.write_json(
            self.out / METRICS,
            {
                "preset": self.config.preset,
                "seed": self.config.seed,
                "fingerprint": self.description["store"]["fingerprint"],
                "finished": finished,
                "stopped": stopped,
                "best": state.best,
                "last": last,
                "validation_clips": self.validation.clips,
                "untrained": kept_untrained(state.best, last),
                "notes": notes_on_choice(self.validation.clips, state.best, last),
                "steps": self.steps,
                "seconds": round(state.seconds, 3),
            },
        )

    def _finish(self) -> None:
        self._write_metrics(finished=True)
        self.resume_file.unlink(missing_ok=True)


def _in_words(entry: dict[str, Any], best: dict[str, Any]) -> str:
    """An evaluation for a person: `entry` is its line of the log, `best` the best one so far."""
    words = f"epoch {entry['epoch']}: validation R@1 {entry['t2v']['R@1']:.1f}"
    words += f" (best {best['t2v']['R@1']:.1f}, epoch {best['epoch']})"
    return words if entry["loss"] is None else f"{words}  loss {entry['loss']:.3f}"
