"""Why an extraction cannot resume a store: what differs between the two, in the words of the command line.

A difference that follows from another (sizes from backbones, captions from videos, shards from their number) is left out.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gaid.stores.reader import StoreReader
from gaid.stores.schema import StorePlan, digest_json

NAMED = 3
_MISSING = "not set"
# Parts of a sampling that follow from the backbones, and the digest of the clips' times, which has words of its own.
_OTHERS = ("frame", "audio", "clips")
# The value in stores made before there was a choice.
_USUAL = {"frame_sampling": "even", "audio_sampling": "aligned", "pixels": "stored", "rules": 1}
_WORDS = {
    "frame": "the pictures that the visual backbone takes:",
    "audio": "the sound that the audio backbone takes:",
    "rules": "the version of the rules by which clips are decoded (docs/datasets.md):",
}


def differences(store: StoreReader, plan: StorePlan) -> list[str]:
    """How a store differs from a plan: a phrase per difference, with both values; empty where they agree."""
    if store.fingerprint == plan.fingerprint:
        return []
    there, now = store.attrs, json.loads(json.dumps(dict(plan.attrs)))
    found = differences_in_kind(store.arrays.attributes, plan)
    if bool(store.has_audio_text) != bool(plan.audio_text):
        which = "there, not now" if store.has_audio_text else "now, not there"
        found.append(f"captions in the sound's own text space: {which}")
    of_videos = _of_lists("video", store.ids, plan.video_ids)
    found += of_videos or _of_times(there, now)
    found += _of_captions(store, plan)
    if found:
        return found
    wanted = json.loads(json.dumps(plan.identity))  # a difference without words here is given by its key
    return sorted(key for key in {*store.identity, *wanted} if store.identity.get(key) != wanted.get(key))


def differences_in_kind(attributes: Mapping[str, Any], plan: StorePlan) -> list[str]:
    """How the features of a store differ from those that a plan would make, whatever their videos and captions: encoders,
    sampling, and which tokens are kept. Empty where rows of the plan can join those of the store."""
    found = differences_of_features(attributes["attrs"], json.loads(json.dumps(dict(plan.attrs))))
    return found + _of_tokens(attributes["layout"], plan)


def differences_of_features(there: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """How the encoders and the sampling differ between the attributes of two stores, which JSON has held."""
    found = _of_backbones(there.get("backbones") or {}, now.get("backbones") or {})
    return found + _of_sampling(there.get("sampling") or {}, now.get("sampling") or {}, same_backbones=not found)


def _of_backbones(there: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    found = []
    for kind in dict.fromkeys([*now, *there]):
        old, new = there.get(kind) or {}, now.get(kind) or {}
        if old == new:
            continue
        if old.get("name") != new.get("name"):
            found.append(f"the {kind} backbone: {old.get('name', _MISSING)} there, {new.get('name', _MISSING)} now")
            continue
        keys = [key for key in dict.fromkeys([*new, *old]) if old.get(key) != new.get(key)]
        found += [
            f"{key} of the {kind} backbone {new.get('name')}: {_short(old.get(key))} there, {_short(new.get(key))} now"
            for key in keys
        ]
    return found


def _of_sampling(there: Mapping[str, Any], now: Mapping[str, Any], same_backbones: bool) -> list[str]:
    keys = [key for key in dict.fromkeys([*now, *there]) if key not in _OTHERS]
    if same_backbones:
        keys += [key for key in ("frame", "audio") if there.get(key) != now.get(key)]
    values = ((key, there.get(key, _USUAL.get(key)), now.get(key, _USUAL.get(key))) for key in keys)
    return [
        f"{_WORDS.get(key, '--' + key.replace('_', '-'))} {_short(old)} there, {_short(new)} now"
        for key, old, new in values
        if old != new
    ]


def _of_tokens(there: Mapping[str, Any], plan: StorePlan) -> list[str]:
    """`there`: the layout of the store."""
    kept = (
        ("--patches", there["patches"], plan.patches),
        ("--audio-tokens", there.get("audio_tokens"), plan.audio_tokens),
        ("--audio-clip-tokens", there.get("audio_clip_tokens"), plan.audio_clip_tokens),
    )
    return [
        f"{option} {'there, not now' if old else 'now, not there'}"
        for option, old, new in kept
        if bool(old) != bool(new)
    ]


def _of_times(there: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """For the same clips. Which of them is not known, since a store keeps only a digest of their times."""
    old, new = ((one.get("sampling") or {}).get("clips") for one in (there, now))
    return ["the start or end of clips, or which of them have a sound file of their own"] if old != new else []


def _of_captions(store: StoreReader, plan: StorePlan) -> list[str]:
    """Captions of the videos that both have, and the splits of the captions that both have."""
    both = {*store.ids} & {*plan.video_ids}
    rows = [store.ids[row] for row in store["captions/video"][:]]
    old = _by_id(store["captions/id"], rows, store["captions/text"], both)
    new = _by_id(plan.caption_ids, [plan.video_ids[row] for row in plan.caption_video], plan.caption_texts, both)
    found = _of_lists("caption", list(old), list(new))
    changed = [name for name, told in new.items() if name in old and old[name] != told]
    if changed:
        found.append(f"{_count('caption', changed)} with another text or video: {_some(changed)}")
    if found or (set(store.ids) != set(plan.video_ids)):
        return found
    if store.default_protocol != plan.default_protocol:
        found.append(f"the default split: {store.default_protocol} there, {plan.default_protocol} now")
    splits = {(name, part): list(of_part) for name, parts in plan.splits.items() for part, of_part in parts.items()}
    there = {
        (name, part): store[f"splits/{name}/{part}"][:].tolist()
        for name, parts in store.protocols.items()
        for part in parts
    }
    differ = [f"{name} {part}" for name, part in dict.fromkeys([*splits, *there])
              if splits.get((name, part)) != there.get((name, part))]  # fmt: skip
    return found + ([f"the captions of the split {_some(differ)}"] if differ else [])


def _by_id(ids: Iterable[str], videos: Iterable[str], texts: Iterable[str], both: set[str]) -> dict[str, str]:
    told = zip(ids, videos, texts, strict=True)
    return {name: digest_json([video, text]) for name, video, text in told if video in both}


def _of_lists(what: str, there: Sequence[str], now: Sequence[str]) -> list[str]:
    old, new = set(there), set(now)
    more, fewer = [name for name in now if name not in old], [name for name in there if name not in new]
    found = []
    if more:
        found.append(f"{_count(what, more)} not in the store: {_some(more)}")
    if fewer:
        found.append(f"{_count(what, fewer)} of the store not in the data set now: {_some(fewer)}")
    if not found and list(there) != list(now):
        found.append(f"the order of the {what}s")
    return found


def _count(what: str, names: Sequence[str]) -> str:
    return f"{len(names):,} {what}{'' if len(names) == 1 else 's'}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED:,} more" if len(names) > NAMED else "")


def _short(value: Any) -> str:
    if value is None:
        return _MISSING
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:12]}..."
