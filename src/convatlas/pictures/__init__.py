"""The drawing kit: shapes, colours and text, charts made of them, and the SVG and PNG files they become."""

from typing import TYPE_CHECKING

from convatlas.base.lazy import exports

if TYPE_CHECKING:
    from convatlas.pictures.charts import Chart as Chart
    from convatlas.pictures.charts import Panel as Panel
    from convatlas.pictures.picture import Picture as Picture
else:
    __all__, __getattr__, __dir__ = exports(
        __name__,
        {
            "Chart": "charts",
            "Panel": "charts",
            "Picture": "picture",
        },
    )
