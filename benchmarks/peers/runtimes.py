# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The libraries that are timed: how each makes a part of a network its own, and calls it.

`prepare` writes what a library runs to a directory, in a process that ends with it; `load`
returns a function from arrays to arrays, and gets the module itself only where `needs_module`.  So
a timed process holds what an application would.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqap_vla_ros.support.machine import processor_flags
import torch

CALIBRATION = 8  # random samples that nncf takes the activations' ranges from
OPSET = 17


class TorchCompile:
    """Inductor's code, in float32 or bfloat16."""

    needs_module = True

    def __init__(self, dtype: str):
        """dtype: of weights and activations."""
        self.dtype = getattr(torch, dtype)

    def prepare(self, name: str, module, example, directory: Path) -> None:
        """Leave all to `load`: the compiled code lies in inductor's own cache."""

    def load(self, name: str, module, directory: Path, threads: int) -> Callable:
        """Return a function of numpy arrays."""
        module.to(self.dtype)
        for layer in (*module.model.llm.layers, *getattr(module.model.vision, 'blocks', ())):
            layer.compile(dynamic=False)  # alike, so that they share the code

        @torch.inference_mode()
        def call(*arrays):
            tensors = [torch.from_numpy(array) for array in arrays]
            tensors = [x.to(self.dtype) if x.is_floating_point() else x for x in tensors]
            found = module(*tensors)
            return [x.float().numpy() for x in (found if isinstance(found, tuple) else (found,))]
        return call


class OpenVINO:
    """OpenVINO's CPU plugin, as it is or with int8 weights and activations by nncf."""

    needs_module = False

    def __init__(self, precision: str, int8: bool = False):
        """precision: of what is not int8, 'f32' or 'bf16'."""
        self.precision, self.int8 = precision, int8

    def _file(self, name: str, directory: Path) -> Path:
        return directory / f'{name}{"-int8" if self.int8 else ""}.xml'

    def prepare(self, name: str, module, example, directory: Path) -> None:
        """Convert a part, quantize it if asked to, and write it once for all precisions."""
        import openvino
        if self._file(name, directory).exists():
            return
        with torch.no_grad():
            model = openvino.convert_model(module, example_input=example)
        for node, tensor in zip(model.inputs, example):
            node.get_node().set_partial_shape(openvino.PartialShape(list(tensor.shape)))
        model.validate_nodes_and_infer_types()
        if self.int8:
            model = self._quantized(model, example)
        openvino.save_model(model, self._file(name, directory), compress_to_fp16=False)

    @staticmethod
    def _quantized(model, example):
        import nncf
        torch.manual_seed(3)
        samples = [[(x + 0.1 * torch.randn_like(x) if x.is_floating_point() else x).numpy()
                    for x in example] for _ in range(CALIBRATION)]
        return nncf.quantize(model, nncf.Dataset(samples), subset_size=CALIBRATION,
                             model_type=nncf.ModelType.TRANSFORMER)

    def load(self, name: str, module, directory: Path, threads: int) -> Callable:
        """Return a function of numpy arrays."""
        import openvino
        compiled = openvino.Core().compile_model(str(self._file(name, directory)), 'CPU', {
            'INFERENCE_NUM_THREADS': threads, 'INFERENCE_PRECISION_HINT': self.precision,
            'PERFORMANCE_HINT': 'LATENCY', 'ENABLE_CPU_PINNING': False})
        request = compiled.create_infer_request()

        def call(*arrays):
            found = request.infer(list(arrays), share_inputs=True)
            return [found[place] for place in range(len(compiled.outputs))]
        return call


class OnnxRuntime:
    """ONNX Runtime's CPU provider with weights of int8 and activations rounded as they come."""

    needs_module = False

    def prepare(self, name: str, module, example, directory: Path) -> None:
        """Export and quantize a part."""
        from onnxruntime.quantization import quantize_dynamic, QuantType
        exported = directory / f'{name}-float.onnx'
        with torch.no_grad():
            torch.onnx.export(module, example, str(exported), opset_version=OPSET, dynamo=False)
        quantize_dynamic(exported, directory / f'{name}.onnx', per_channel=True,
                         reduce_range='vnni' not in ' '.join(processor_flags()),
                         weight_type=QuantType.QInt8)  # without VNNI sums of 8 bits overflow
        exported.unlink()

    def load(self, name: str, module, directory: Path, threads: int) -> Callable:
        """Return a function of numpy arrays."""
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        session = onnxruntime.InferenceSession(
            str(directory / f'{name}.onnx'), options, providers=['CPUExecutionProvider'])
        names = [node.name for node in session.get_inputs()]
        return lambda *arrays: session.run(None, dict(zip(names, arrays)))
