"""The store between the two stages: one data set's features under one set of backbones, in zarr or HDF5 (docs/format.md)."""

from gaid.stores.census import members_of
from gaid.stores.compaction import PruneReport, prune_store
from gaid.stores.controls import derangement, with_audio, with_noise
from gaid.stores.convert import convert_store
from gaid.stores.deletion import delete_store
from gaid.stores.features import FeatureReport, examine_features
from gaid.stores.gallery import iter_clips, read_clips, valid_rows
from gaid.stores.schema import AUDIO_STATES, SCHEMA_VERSION, StorePlan
from gaid.stores.split import Split, hash_gallery
from gaid.stores.store import Store, open_store
from gaid.stores.verify import VerifyReport, verify_store
from gaid.stores.writer import StoreWriter

__all__ = [
    "AUDIO_STATES",
    "SCHEMA_VERSION",
    "FeatureReport",
    "PruneReport",
    "Split",
    "Store",
    "StorePlan",
    "StoreWriter",
    "VerifyReport",
    "convert_store",
    "delete_store",
    "derangement",
    "examine_features",
    "hash_gallery",
    "iter_clips",
    "members_of",
    "open_store",
    "prune_store",
    "read_clips",
    "valid_rows",
    "verify_store",
    "with_audio",
    "with_noise",
]
