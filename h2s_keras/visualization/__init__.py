"""Flow colours, panels, charts and reports; importing it does not start Keras."""

from h2s_keras.visualization.charts import (
    bar_chart,
    confusion_chart,
    confusion_picture,
    line_chart,
)
from h2s_keras.visualization.flow_color import (
    color_wheel,
    color_wheel_key,
    flow_to_color,
    largest_magnitude,
)
from h2s_keras.visualization.panels import image_grid, motion_panel, panel_columns
from h2s_keras.visualization.report import HtmlReport

__all__ = [
    "HtmlReport",
    "bar_chart",
    "color_wheel",
    "color_wheel_key",
    "confusion_chart",
    "confusion_picture",
    "flow_to_color",
    "image_grid",
    "largest_magnitude",
    "line_chart",
    "motion_panel",
    "panel_columns",
]
