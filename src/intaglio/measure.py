"""The room `evaluation` under the name that it had, for scripts that were written then."""

import sys

from intaglio import evaluation
from intaglio.evaluation import gates, model_stages, stage

__all__ = evaluation.__all__
globals().update({name: getattr(evaluation, name) for name in __all__})

for _name, _module in (("gates", gates), ("run", model_stages), ("stage", stage)):
    sys.modules[f"{__name__}.{_name}"] = _module
