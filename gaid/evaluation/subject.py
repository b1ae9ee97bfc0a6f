"""Whose heads are measured: those of a run, or a preset's untrained one. The split that they are measured on is `bench`'s."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gaid.errors import DataMissing, HeadMismatch, OptionInvalid
from gaid.runs import Run, load_run, resolve_head
from gaid.runs.library import meet_library
from gaid.stores import open_store
from gaid.stores.remote import address_of

if TYPE_CHECKING:
    from gaid.heads import Head
    from gaid.stores import Split, Store

SENSES = ("video", "sound")


@dataclass
class Subject:
    """Heads of one kind, one per seed. `load(member)` reads a head for evaluation; `notes` are what a reader must know."""

    preset: str
    seeds: list[int]
    load: Callable[[int], "Head"]
    run: Run | None = None
    notes: list[str] = field(default_factory=list)
    audio: str = "own"
    _heads: dict[int, "Head"] = field(default_factory=dict, repr=False)

    def head(self, member: int) -> "Head":
        """The head of a member, read once."""
        if member not in self._heads:
            self._heads[member] = self.load(member)
        return self._heads[member]

    def members(self, seeds: int | None = None) -> range:
        """The numbers of the heads, of the first `seeds` only where that is given. Raises OptionInvalid for none."""
        if seeds is not None and seeds < 1:
            raise OptionInvalid(f"--seeds {seeds} must be at least 1")
        return range(min(len(self.seeds), seeds or len(self.seeds)))

    @property
    def name(self) -> str:
        """Its name in errors: the folder of the run, or the preset."""
        return str(self.run.path) if self.run else f"preset {self.preset!r}"

    @property
    def trained(self) -> bool:
        return self.run is not None

    @classmethod
    def of_run(cls, run: Run, store: "Store", device: str) -> "Subject":
        """The heads of a run, for a store with features of the same backbones. Raises StoresDisagree."""
        run.check_store(store)
        notes = run.doubts_about(store)
        if not run.imported and run.fingerprint != store.fingerprint:
            notes.append(f"the head was trained on another store ({run.store_path}), of the same backbones")
        if run.protocol != "query":
            notes.append(
                f"trained and chosen under the {run.protocol} protocol: its gates have read the videos' own captions"
            )
        if run.config.get("recipe") == "published":
            notes.append("trained by the recipe that its method was published with, not by the preset's own")
        unfinished = [str(member.path) for member in run.members if not member.finished]
        if unfinished:
            notes.append(f"training is not over: {', '.join(unfinished)}; the best checkpoint so far is evaluated")
        if run.audio != "own":
            notes.append(f"a control: trained with audio={run.audio}, and evaluated so")
        notes += run.training_notes
        members = run.members
        return cls(
            run.preset, list(run.seeds), lambda number: members[number].load_head(device=device), run, notes, run.audio
        )

    @classmethod
    def untrained(
        cls, preset: str, store: "Store", device: str, seed: int, sense: str = "video", met: int | None = None
    ) -> "Subject":
        """A preset's head before training, which meets `met` clips of the store, all by default. A note says where picture (or
        sound) and text do not share a space."""
        kind = "visual" if sense == "video" else "audio"

        def load(number: int) -> "Head":
            import torch

            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                head, _ = resolve_head(
                    preset,
                    visual_dim=store.visual_dim if sense == "video" else store.audio_dim,
                    audio_dim=store.audio_dim,
                    text_dim=store.text_dim,
                    frames=store.frames,
                    audio_token_dims=store.audio_token_dims,
                )
            meet_library(head, store, met)
            return head.to(device).eval()

        subject = cls(preset, [seed], load)
        subject.notes = _notes_on_untrained(subject.head(0), store, kind)
        return subject


def zero_shot_preset(store: "Store") -> str:
    """The untrained head that compares sentences with every sense that shares a space with them. Raises OptionInvalid for none."""
    picture, sound = store.shares_space("visual"), store.hears_without_training
    if not picture and not sound:
        names = ", ".join(f"{kind} {store.backbone(kind)}" for kind in ("visual", "audio", "text"))
        raise OptionInvalid(
            f"{store.path}: its backbones ({names}) share no space with sentences, so an untrained head finds by chance; train one "
            "(gaid train-head) and give its run, or choose one all the same (--preset NAME)"
        )
    return "av-sum" if picture and sound else "mean-pool" if picture else "sound"


def _notes_on_untrained(head: "Head", store: "Store", kind: str) -> list[str]:
    notes = (
        ["untrained: its weights are equal; gaid train-head finds them on validation"] if head.fits_validation else []
    )
    if head.text_input == "both" and head.uses_audio and not store.hears_without_training:
        notes.append(
            f"untrained, and the audio backbone ({store.backbone('audio')}) shares no space with sentences: expect chance; train a head"
        )
    if not head.uses_visual or store.shares_space(kind):
        return notes
    names = [store.backbone(one) for one in (kind, "text")]
    dims = [store.visual_dim if kind == "visual" else store.audio_dim, store.text_dim]
    return [
        *notes,
        f"untrained, and the {kind} backbone ({names[0]}, {dims[0]} numbers) and the text backbone ({names[1]}, {dims[1]}) "
        "do not share a space: expect chance; train a head",
    ]


def open_for(run: Run | None, store: "str | Path | Store | None") -> "Store":
    """The store to evaluate on: the one given, else the run's. Raises OptionInvalid, DataMissing, StoreIncomplete."""
    if store is None:
        if run is None:
            raise OptionInvalid(
                "evaluate what? Give a run (--run RUN), or a store and a preset (--store PATH --preset NAME)"
            )
        if not run.config["store"]:
            raise OptionInvalid(
                f"{run.path}: was {'imported' if run.imported else 'published'} and has no store of its own; give one (--store PATH)"
            )
        store = run.store_path
        if address_of(store) is None and not store.exists():
            raise DataMissing(f"{run.path}: its store is not at {store} any more; say with --store PATH where it is")
    return open_store(store) if isinstance(store, str | Path) else store


def own_encoder(run: Run | None, store: "Store", sense: str) -> str | None:
    """The CLIP of an imported run, as a backbone's name, where it encoded the store's `sense` (visual or text), or its audio
    encoder where that encoded the store's audio; else None.

    A store remembers weights by their digest and not where they lie, and these lie in the run.
    """
    about = store.attrs.get("backbones", {}).get(sense) or {}
    own = "ast_sha256" if sense == "audio" else "clip_sha256"
    if run is None or not about.get("sha256") or run.imported.get(own) != about["sha256"]:
        return None
    return run.audio_encoder if sense == "audio" else run.visual


def load_subject(
    run: "str | Path | Run | None",
    store: "str | Path | Store | None",
    preset: str | None,
    device: str,
    seed: int,
    sense: str,
    met: int | None = None,
) -> tuple[Subject, "Store"]:
    """The heads and the store that were asked for. Raises OptionInvalid for an incomplete or contradictory combination."""
    if run is not None and preset is not None:
        raise OptionInvalid("--run and --preset: a run knows its preset; give one of the two")
    if sense not in SENSES:
        raise OptionInvalid(f"--sense {sense!r} is none of {', '.join(SENSES)}")
    if run is not None and sense != "video":
        raise OptionInvalid(
            "--sense sound compares texts with sounds without training; give --store and --preset, not a run"
        )
    loaded = load_run(run) if run is not None else None
    opened = open_for(loaded, store)
    if loaded is not None:
        return Subject.of_run(loaded, opened, device), opened
    if preset is None:
        raise OptionInvalid("--store needs --preset NAME (an untrained head), or give --run RUN")
    subject = Subject.untrained(preset, opened, device, seed, sense, met)
    if sense == "sound" and subject.head(0).text_input == "both":
        raise OptionInvalid(
            f"--sense sound: puts the sound in the picture's place, and {preset} compares it in its own text space; "
            "leave out --sense (--preset sound compares sounds alone)"
        )
    return subject, opened


def check_head_fits(head: "Head", split: "Split", what: str) -> None:
    """Raises HeadMismatch where a head was built for features of another size, or for audio tokens that are not there."""
    config = dict(head.config)
    if head.audio_input == "tokens" and split.read_audio_tokens is None:
        raise HeadMismatch(
            f"{what} takes audio tokens, the store has none; evaluate it on a store of `gaid extract --audio-tokens`"
        )
    if head.audio_input == "clip" and split.read_audio_clip_tokens is None:
        raise HeadMismatch(
            f"{what} takes audio tokens of whole clips, the store has none; evaluate it on a store of "
            "`gaid extract --audio-clip-tokens`"
        )
    if not head.uses_audio or head.audio_input != "frames":  # the head itself checks the size of tokens
        config.pop("audio_dim", None)
    for sense, features in (("visual", split.visual), ("audio", split.audio), ("text", split.text)):
        expected, found = config.get(f"{sense}_dim"), features.shape[-1]
        if expected is not None and expected != found:
            raise HeadMismatch(
                f"{what} takes {sense} features of {expected} numbers, the store has {found}; "
                "evaluate it on a store extracted with the backbones that it was trained on"
            )
