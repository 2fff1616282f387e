"""Many small values in one buffer."""

import pickle
from array import array
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch


class Packed:
    """A sequence of values, serialised one after the other into one buffer: a few bytes each, in
    memory that worker processes share, whether they are forked or spawned."""

    def __init__(self) -> None:
        self._growing = bytearray()
        self._ends = array("q", [0])
        self._data: torch.Tensor | None = None
        self._offsets: torch.Tensor | None = None

    def append(self, value: Any) -> None:
        """Add a value of numbers, strings, bytes and tuples, lists or tables of them."""
        self._growing += pickle.dumps(value, 5)
        self._ends.append(len(self._growing))

    def freeze(self) -> "Packed":
        """Make the buffer one that processes share. Nothing can be added any more."""
        self._data = torch.frombuffer(self._growing or bytearray(1), dtype=torch.uint8)
        self._offsets = torch.frombuffer(self._ends, dtype=torch.int64)
        return self

    def __len__(self) -> int:
        return len(self._ends) - 1 if self._offsets is None else len(self._offsets) - 1

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        if self._data is None:
            data, ends = memoryview(self._growing), self._ends
            found = pickle.loads(bytes(data[ends[index] : ends[index + 1]]))
            data.release()
            return found
        begin, end = self._offsets[index : index + 2].tolist()
        return pickle.loads(memoryview(self._data.numpy())[begin:end])

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    @property
    def nbytes(self) -> int:
        return self._ends[-1] if self._data is None else self._data.numel()

    def __getstate__(self) -> dict[str, Any]:
        """For spawned processes: the frozen tensors alone, which go there as handles."""
        if self._data is None:
            self.freeze()
        return {"_data": self._data, "_offsets": self._offsets}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._growing, self._ends = bytearray(), array("q", [0])


class Groups:
    """Indices by the group that they belong to."""

    def __init__(self, group: np.ndarray, groups: int):
        """`group` [N]: of each index; those that are negative belong to none."""
        order = np.argsort(group, kind="stable")
        starts = np.searchsorted(group[order], np.arange(groups + 1))
        self._order, self._starts = torch.from_numpy(order), torch.from_numpy(starts)

    def __getitem__(self, index: int) -> list[int]:
        begin, end = self._starts[index : index + 2].tolist()
        return self._order[begin:end].tolist()
