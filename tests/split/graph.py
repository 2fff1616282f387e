"""A runtime of MLServer for graphs of a bundle, on ONNX Runtime."""

from pathlib import Path

import numpy
import onnxruntime
from mlserver import MLModel
from mlserver.errors import MLServerError
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

TYPES = {"FP16": numpy.float16, "FP32": numpy.float32, "INT64": numpy.int64}


class Graph(MLModel):
    """Takes floats as FP16 where the settings say so.

    A file `fault` says what is to go wrong.
    """

    async def load(self) -> bool:
        extra = self.settings.parameters.extra
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            extra["graph"], options, providers=["CPUExecutionProvider"]
        )
        self._types = {one.name: one.type for one in self._session.get_inputs()}
        self._fault = Path(extra["fault"])
        self._floats = extra["floats"]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        fault = self._fault.read_text() if self._fault.exists() else ""
        if fault == "memory":
            raise MLServerError("CUDA error: out of memory", 500)
        fed = {}
        for tensor in payload.inputs:
            values = numpy.asarray(tensor.data.root, TYPES[tensor.datatype])
            values = values.reshape(tensor.shape)
            takes_half = self._types[tensor.name] == "tensor(float16)"
            if values.dtype == numpy.float16 and not takes_half:
                values = values.astype(numpy.float32)
            fed[tensor.name] = values
        names = [output.name for output in payload.outputs or self._session.get_outputs()]
        outputs = []
        for name, found in zip(names, self._session.run(names, fed), strict=True):
            if fault == "shapes":
                found = found[..., :-1]
            if fault == "numbers":
                found = numpy.full_like(found, numpy.nan)
            found = found.astype(TYPES[self._floats])
            outputs.append(
                ResponseOutput(
                    name=name,
                    datatype=self._floats,
                    shape=list(found.shape),
                    data=found.reshape(-1).tolist(),
                )
            )
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)
