"""One function per figure: a result in, a matplotlib Figure out. Nothing is computed here."""

from affectome.plotting._brain_contrasts import plot_difference_map, plot_winner_map
from affectome.plotting._brain_maps import plot_glass_brain, plot_slices, plot_surface
from affectome.plotting._categories import (
    plot_category_scores,
    plot_category_structure,
    plot_confusion,
    plot_silhouettes,
)
from affectome.plotting._centre_profile import plot_centre_profile
from affectome.plotting._comparison import plot_agreements, plot_comparison_matrix
from affectome.plotting._component_maps import (
    plot_component_consistency,
    plot_component_maps,
    plot_component_profiles,
)
from affectome.plotting._consistency import plot_consistency
from affectome.plotting._correlations import plot_rating_correlations, plot_rating_maps, plot_shares_above
from affectome.plotting._encoding_checks import plot_alphas, plot_p_values
from affectome.plotting._gap import plot_gap
from affectome.plotting._geometry_ceilings import plot_geometry_ceilings
from affectome.plotting._gradient import plot_gradient_lines, plot_gradients
from affectome.plotting._graph import plot_affective_graph
from affectome.plotting._map import plot_map, plot_maps
from affectome.plotting._montage import plot_top_stimuli
from affectome.plotting._predicted_components import plot_predicted_components
from affectome.plotting._prediction import plot_predictions
from affectome.plotting._region_bars import plot_region_bars
from affectome.plotting._region_partition import plot_partition_parts, plot_region_partition
from affectome.plotting._reproducibility import plot_reproducibility
from affectome.plotting._retention import plot_components_needed, plot_rsm_by_components
from affectome.plotting._rose import plot_rose, plot_rose_difference
from affectome.plotting._rsm import plot_rsm
from affectome.plotting._selection import plot_selection
from affectome.plotting._specification_curve import plot_specification_curve
from affectome.plotting._style import COLUMN_WIDTH, PAGE_WIDTH, house_style, save_figure, system_colours
from affectome.plotting._systems import plot_accuracy, plot_agreement, plot_component_sizes
from affectome.plotting._types import PUBLISHED_TYPES, plot_component_types, plot_variance_partition
from affectome.plotting._upset import plot_upset
from affectome.plotting._voxel_scatter import plot_voxel_scatter
from affectome.plotting._voxel_values import plot_voxel_values
from affectome.plotting._word_cloud import PlacedWord, lay_out_words, plot_word_cloud, plot_word_clouds

__all__ = [
    "COLUMN_WIDTH",
    "PAGE_WIDTH",
    "PUBLISHED_TYPES",
    "PlacedWord",
    "house_style",
    "lay_out_words",
    "plot_accuracy",
    "plot_affective_graph",
    "plot_agreement",
    "plot_agreements",
    "plot_alphas",
    "plot_category_scores",
    "plot_category_structure",
    "plot_centre_profile",
    "plot_comparison_matrix",
    "plot_component_consistency",
    "plot_component_maps",
    "plot_component_profiles",
    "plot_component_sizes",
    "plot_component_types",
    "plot_components_needed",
    "plot_confusion",
    "plot_consistency",
    "plot_difference_map",
    "plot_gap",
    "plot_geometry_ceilings",
    "plot_glass_brain",
    "plot_gradient_lines",
    "plot_gradients",
    "plot_map",
    "plot_maps",
    "plot_p_values",
    "plot_partition_parts",
    "plot_predicted_components",
    "plot_predictions",
    "plot_rating_correlations",
    "plot_rating_maps",
    "plot_region_bars",
    "plot_region_partition",
    "plot_reproducibility",
    "plot_rose",
    "plot_rose_difference",
    "plot_rsm",
    "plot_rsm_by_components",
    "plot_selection",
    "plot_shares_above",
    "plot_silhouettes",
    "plot_slices",
    "plot_specification_curve",
    "plot_surface",
    "plot_top_stimuli",
    "plot_upset",
    "plot_variance_partition",
    "plot_voxel_scatter",
    "plot_voxel_values",
    "plot_winner_map",
    "plot_word_cloud",
    "plot_word_clouds",
    "save_figure",
    "system_colours",
]
