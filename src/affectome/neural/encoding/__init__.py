"""From a space to every voxel: ridge with nested cross-validation, and what several spaces share."""

from affectome.neural.encoding._components import ComponentMaps, component_maps
from affectome.neural.encoding._consistency import Consistency, component_consistency
from affectome.neural.encoding._controls import join_spaces, read_control
from affectome.neural.encoding._encode import encode
from affectome.neural.encoding._encoder import VoxelwiseEncoder
from affectome.neural.encoding._io import read_encoding, write_encoding
from affectome.neural.encoding._paired import EncodingDifference, WinnerMap, compare_encodings, winner_map
from affectome.neural.encoding._partition import UniqueVariance, VariancePartition, partition_variance, unique_variance
from affectome.neural.encoding._product_measure import ProductMeasure, product_measure
from affectome.neural.encoding._region_scores import region_scores, region_tests
from affectome.neural.encoding._result import Encoding, FoldModel
from affectome.neural.encoding._significance import Significance, encoding_significance
from affectome.neural.encoding._solvers import ALPHAS
from affectome.neural.encoding._weight_components import WeightComponents, weight_components

__all__ = [
    "ALPHAS",
    "ComponentMaps",
    "Consistency",
    "Encoding",
    "EncodingDifference",
    "FoldModel",
    "ProductMeasure",
    "Significance",
    "UniqueVariance",
    "VariancePartition",
    "VoxelwiseEncoder",
    "WeightComponents",
    "WinnerMap",
    "compare_encodings",
    "component_consistency",
    "component_maps",
    "encode",
    "encoding_significance",
    "join_spaces",
    "partition_variance",
    "product_measure",
    "read_control",
    "read_encoding",
    "region_scores",
    "region_tests",
    "unique_variance",
    "weight_components",
    "winner_map",
    "write_encoding",
]
