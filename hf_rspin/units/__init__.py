"""Discrete units of speech, and the frame labels made from them."""

from hf_rspin.units.acoustic_pieces import AcousticPieces
from hf_rspin.units.extract import extract_units
from hf_rspin.units.extractors import UnitExtractor, codebook_units, kmeans_units
from hf_rspin.units.features import WhisperLayerFeatures, layer_features, mfcc_features
from hf_rspin.units.fitting import fit_kmeans
from hf_rspin.units.frame_labels import FrameLabels
from hf_rspin.units.kmeans import KMeans
from hf_rspin.units.mfcc import mfcc
from hf_rspin.units.tokenizer import UnitTokenizer
from hf_rspin.units.unit_sequence import UnitSequence

__all__ = [
    "AcousticPieces",
    "FrameLabels",
    "KMeans",
    "UnitExtractor",
    "UnitSequence",
    "UnitTokenizer",
    "WhisperLayerFeatures",
    "codebook_units",
    "extract_units",
    "fit_kmeans",
    "kmeans_units",
    "layer_features",
    "mfcc",
    "mfcc_features",
]
