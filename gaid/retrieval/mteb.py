"""A head as `mteb` runs it on its tasks between text and video: mteb's `SearchProtocol` (2.26), with exact scores by the head.

The task's clips are extracted in the way of the store that the head was trained on, and its sentences go through that store's
encoders. mteb computes the figures. Results of gaid's own evaluations in mteb's form are `evaluation.mteb`'s.
"""

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from gaid.datasets import Dataset, Video
from gaid.errors import DependencyMissing, OptionInvalid
from gaid.evaluation.bench import Bench, open_bench
from gaid.extract import extract
from gaid.extract.sources import load_sentence_encoder, options_of
from gaid.files import write_bytes
from gaid.retrieval.lens import Lens
from gaid.runs import Model, Run, load
from gaid.stores import open_store, valid_rows
from gaid.stores.schema import digest_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gaid.stores import Store

Scores = dict[str, dict[str, float]]


class MTEBHead:
    """A head for `mteb.evaluate`: a run's first seed, or a published head. It fulfils mteb's `SearchProtocol`.

    It takes tasks whose queries are texts and whose corpus is videos, or the other way round. Clips' sounds are heard where the
    task hands them over as `audio` (its names end in A), and never from the video's own track: a task without `audio` asks how
    well the picture alone is found.

    Args:
        run: a run, its folder, or a published head (a folder or a name of the hub).
        store: a store of the backbones and sampling that clips are extracted with. Default: the run's; a published head knows it.
        work: a folder for the clips' features, which are then extracted once per task. Default: a temporary one.
        name: what mteb calls the model, OWNER/NAME. Default: gaid/ and the name of the folder.
        device, memory, workers, seed: as in `extract` and `evaluate`.

    Raises OptionInvalid, DataMissing, RunInvalid, DependencyMissing where mteb is not installed.
    """

    def __init__(
        self,
        run: "str | Path | Run",
        *,
        store: "str | Path | Store | None" = None,
        work: str | Path | None = None,
        name: str | None = None,
        device: str = "auto",
        memory: str | int = "auto",
        workers: int = 1,
        seed: int = 0,
    ) -> None:
        _import_datasets()
        self.run = load(run)
        self.options: dict[str, Any] = _extraction(self.run, store)
        self.name = name or f"gaid/{self.run.path.resolve().name}"
        self.work = Path(tempfile.mkdtemp(prefix="gaid-mteb-") if work is None else work)
        if work is None:
            weakref.finalize(self, shutil.rmtree, self.work, ignore_errors=True)
        self.device, self.memory, self.workers, self.seed = device, memory, workers, seed
        self._corpus: Any = None

    @cached_property
    def mteb_model_meta(self) -> Any:
        """What mteb keeps of the model beside its results. The revision is that of the weights."""
        from mteb.models import ModelMeta

        member = self.run.members[0]
        modalities: Any = ["text", "video", *(["audio"] if member.head.uses_audio else [])]
        unknown = (
            "release_date", "languages", "memory_usage_mb", "max_tokens", "embed_dim", "license", "open_weights",
            "public_training_code", "public_training_data", "similarity_fn_name", "use_instructions", "training_datasets",
        )  # fmt: skip
        not_known: dict[str, Any] = dict.fromkeys(unknown)
        return ModelMeta(
            loader=None,
            name=self.name,
            revision=member.weights_digest[:16],
            n_parameters=sum(one.numel() for one in member.head.parameters()),
            framework=["PyTorch"],
            modalities=modalities,
            **not_known,
        )

    def index(self, corpus: Any, *, task_metadata: Any, hf_split: str, hf_subset: str, **_: Any) -> None:
        """Takes a task's corpus; it is encoded when the queries are there."""
        self._corpus = corpus

    def search(
        self,
        queries: Any,
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        top_k: int,
        top_ranked: Mapping[str, list[str]] | None = None,
        **_: Any,
    ) -> Scores:
        """For each query the best `top_k` documents (of its `top_ranked` alone, where a task names some) and their scores.

        A clip that can't be decoded is in no list, and finds nothing. Raises OptionInvalid for a task that is not between text and video.
        """
        corpus, where = self._corpus, f"{task_metadata.name}-{hf_subset}-{hf_split}"
        if corpus is None:
            raise OptionInvalid("search asks a corpus that was not given: call index first")
        text_asks = _is_text(queries) and _is_video(corpus)
        if not text_asks and not (_is_video(queries) and _is_text(corpus)):
            raise OptionInvalid(
                f"{task_metadata.name}: its queries have {_columns(queries)} and its documents {_columns(corpus)}; a head compares "
                "texts with videos"
            )
        texts, videos = (queries, corpus) if text_asks else (corpus, queries)
        scores, found = self._score(_texts(texts), videos, where)
        clips = np.asarray([str(one) for one in videos["id"]])[found].tolist()
        sentences = [str(one) for one in texts["id"]]
        if text_asks:
            return _best(scores, sentences, clips, top_k, top_ranked)
        nothing: Scores = {
            str(one): {} for one in videos["id"]
        }  # of clips that can't be decoded: mteb counts them as misses
        return nothing | _best(scores.T, clips, sentences, top_k, top_ranked)

    def _score(self, texts: Sequence[str], videos: Any, where: str) -> "tuple[NDArray[np.float32], NDArray[np.int64]]":
        """Scores (texts, clips), and the rows of the videos that are these clips: those that could be decoded."""
        heard = "audio" in videos.column_names
        # Heads of the same backbones share the features of a task.
        way = digest_json([self.options, heard])[:8]
        store = self._extract(videos, self.work / f"{where}-{way}")
        bench = open_bench(
            self.run, store=store, split=None, seeds=1, memory=self.memory, device=self.device, seed=self.seed
        )
        lens = self._lens(bench, store, texts, heard)
        rows = valid_rows(store)
        scores = np.empty((len(texts), len(rows)), np.float32)
        for some, features in lens.blocks(store):
            scores[:, np.searchsorted(rows, some)] = lens.scores(features)
        return scores, np.asarray([int(store.ids[row]) for row in rows], np.int64)

    def _lens(self, bench: Bench, store: "Store", texts: Sequence[str], heard: bool) -> Lens:
        head, audio = bench.head(), bench.subject.audio
        if audio not in ("own", "silence", "none"):
            raise OptionInvalid(f"{self.run.path}: a control, trained with audio={audio}; give another run")
        found = load_sentence_encoder(store, bench.device, head.text_input)(texts)
        text = np.concatenate([found["text"], found["audio_text"]], axis=1) if "audio_text" in found else found["text"]
        vectors = torch.from_numpy(text).to(bench.device)
        return Lens(head, vectors, "all", audio if heard else "none", bench.device, bench.memory, bench.seed)

    def _extract(self, videos: Any, folder: Path) -> "Store":
        """The store of a task's clips, whose ids are their rows; one that is there already is completed."""
        media = folder / "media"
        clips = []
        for row, cells in enumerate(_encoded(videos)):
            sound = cells.get("audio")
            beside = _file(media, f"{row}.audio", sound) if sound else None
            clips.append(Video(str(row), _file(media, f"{row}.video", cells["video"]), audio_path=beside))
        data = Dataset(f"mteb-{folder.name}", media, tuple(clips), (), {"all": {}}, "all")
        extract(
            data, out=folder / "clips.zarr", device=self.device, workers=self.workers, max_missing=1, progress=False,
            **self.options,
        )  # fmt: skip
        return open_store(folder / "clips.zarr")


def _extraction(run: Run, store: "str | Path | Store | None") -> dict[str, Any]:
    """The options of `extract` that give the features that a head takes."""
    if store is None and isinstance(run, Model):
        return run.extraction
    place = run.store_path if store is None else store
    return options_of(open_store(place) if isinstance(place, str | Path) else place)


def _best(
    scores: "NDArray[np.float32]",
    queries: Sequence[str],
    documents: Sequence[str],
    top_k: int,
    top_ranked: Mapping[str, list[str]] | None,
) -> Scores:
    """For each query (a row of the scores) its best documents."""
    place = {document: number for number, document in enumerate(documents)}
    found = {}
    for query, of_query in zip(queries, scores, strict=True):
        among = np.arange(len(documents))
        if top_ranked is not None:
            among = np.asarray([place[one] for one in top_ranked.get(query, ()) if one in place], np.int64)
        best = among[np.argsort(-of_query[among], kind="stable")[:top_k]]
        found[query] = {documents[number]: float(of_query[number]) for number in best}
    return found


def _is_text(side: Any) -> bool:
    return "text" in side.column_names and not {"video", "audio", "image"} & set(side.column_names)


def _is_video(side: Any) -> bool:
    return "video" in side.column_names and not {"text", "image"} & set(side.column_names)


def _columns(side: Any) -> str:
    return " and ".join(name for name in side.column_names if name != "id") or "nothing"


def _texts(side: Any) -> list[str]:
    """The sentences; a document's title stands before its text, as in mteb."""
    titles = side["title"] if "title" in side.column_names else [""] * len(side)
    return [f"{title or ''} {text}".strip() for title, text in zip(titles, side["text"], strict=True)]


def _encoded(side: Any) -> Any:
    """The columns of video and sound as files, not decoded. Raises OptionInvalid where they hold something else."""
    datasets = _import_datasets()
    kinds = {"video": datasets.Video, "audio": datasets.Audio}
    side = side.select_columns([name for name in kinds if name in side.column_names])
    for name in side.column_names:
        if not isinstance(side.features[name], kinds[name]):
            raise OptionInvalid(
                f"the column {name!r} is {side.features[name]}, not datasets.{kinds[name].__name__}: gaid decodes files itself"
            )
        side = side.cast_column(name, kinds[name](decode=False))
    return side


def _file(folder: Path, name: str, cell: Mapping[str, Any]) -> Path:
    """The file of a cell: where it lies, or written into a folder from its bytes."""
    content, place = cell["bytes"], cell["path"]
    if content is None:
        return Path(place)
    path = folder / f"{name}{Path(place or '').suffix}"
    if not path.is_file() or path.stat().st_size != len(content):
        write_bytes(path, content)
    return path


def _import_datasets() -> Any:
    try:
        import datasets
        import mteb  # noqa: F401 (asked for before any work)
    except ImportError as error:
        raise DependencyMissing("MTEBHead needs mteb: pip install 'gaid[mteb]'") from error
    return datasets
