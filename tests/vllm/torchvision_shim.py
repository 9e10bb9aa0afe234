"""Make a torchvision built for CUDA importable beside a torch for the CPU (its pure Python transforms work).

torchvision 0.28 registers a fake kernel for `nms` and `qnms` without looking whether its compiled library was
loaded. Declaring the two operators just before it is imported is enough. Costs nothing until then.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_declared: list[object] = []  # torch drops the declarations when the library object is collected


class _BeforeTorchvision(MetaPathFinder):
    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            import torch

            library = torch.library.Library("torchvision", "DEF")
            for operator in ("nms", "qnms"):
                library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            _declared.append(library)
        return None


sys.meta_path.insert(0, _BeforeTorchvision())
