"""PyTorch and Python's onnxruntime as contestants (see `contestants.py`)."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from tokenizers import Tokenizer

from .bundles import input_size, manifest
from .machine import ROOT, Usage

Fuse = Callable[[np.ndarray], Iterator[tuple[np.ndarray, np.ndarray]]]
"""Gives logits [Q, C] and boxes [Q, 4] of each sentence for an image."""


class Preparation:
    """A frame [H, W, 3] in 8 bit -> image [1, 3, h, w], normalised, as the network was trained."""

    def __init__(self, model: dict, size: tuple[int, int]):
        self.size = size
        mean = np.array(model["input"]["mean"], np.float32)
        std = np.array(model["input"]["std"], np.float32)
        self.scale, self.offset = 1 / (255 * std), mean / std

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        if frame.shape[1::-1] != self.size:
            frame = np.asarray(Image.fromarray(frame).resize(self.size, Image.Resampling.BILINEAR))
        values = frame * self.scale - self.offset
        return np.ascontiguousarray(values.transpose(2, 0, 1)[None])


def detections(
    logits: np.ndarray, boxes: np.ndarray, thresholds: dict[str, float], size: tuple[int, int]
) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """Score, corners in pixels and slots of the words of each object query that passes."""
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    probabilities = weights / weights.sum(-1, keepdims=True)
    scores = 1 - probabilities[:, -1]
    found = []
    for index in np.flatnonzero(scores > thresholds["score"]):
        center, extent = boxes[index, :2] * size, boxes[index, 2:] * size
        corners = np.concatenate([center - extent / 2, center + extent / 2])
        words = np.flatnonzero(probabilities[index, :-1] > thresholds["phrase"])
        found.append((float(scores[index]), corners, words))
    return found


def position(rows: int, columns: int, d: int) -> np.ndarray:
    """The network's position encoding of a grid of tokens: [1, rows * columns, d]. Without PyTorch,
    whose memory would count."""

    def axis(count: int) -> np.ndarray:
        place = np.arange(1, count + 1)[:, None] / (count + 1e-6) * 2 * np.pi
        angle = place / 10000 ** (4 * (np.arange(d // 2) // 2) / d)
        return np.where(np.arange(d // 2) % 2, np.cos(angle), np.sin(angle))

    y = np.broadcast_to(axis(rows)[:, None], (rows, columns, d // 2))
    x = np.broadcast_to(axis(columns)[None], (rows, columns, d // 2))
    return np.concatenate([y, x], axis=-1).reshape(1, -1, d).astype(np.float32)


class OnnxRuntime:
    """Text once per sentence, vision once per frame, fusion once per frame and sentence."""

    def __init__(self, args: argparse.Namespace, size: tuple[int, int]):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = args.threads

        def session(name: str) -> onnxruntime.InferenceSession:
            file = str(args.model / f"{name}.onnx")
            return onnxruntime.InferenceSession(file, options, ["CPUExecutionProvider"])

        network = manifest(args.model)["network"]
        stride = network["stride"]
        self.tokenizer = Tokenizer.from_file(str(args.model / "tokenizer.json"))
        self.text = session("text")
        self.memories = {}
        self.vision, self.fusion = session("vision"), session("fusion")
        d, past, queries = network["d_model"], network.get("past", 0), network["queries"]
        self.position = position(-(-size[1] // stride), -(-size[0] // stride), d)
        shapes = {
            "past": [1, past, queries, d],
            "past_boxes": [1, past, queries, 4],
            "past_age": [1, past],
        }
        self.past = {name: np.zeros(shape, np.float32) for name, shape in shapes.items() if past}
        """Nothing: each frame is answered by itself."""
        self.version = onnxruntime.__version__

    def set(self, sentences: list[str]) -> Fuse:
        """What answers these sentences."""
        for sentence in sentences:
            if sentence not in self.memories:
                ids = np.array([self.tokenizer.encode(sentence).ids], np.int64)
                mask = np.ones_like(ids)
                feed = {"input_ids": ids, "attention_mask": mask}
                self.memories[sentence] = self.text.run(["text_memory"], feed)[0], mask
        known = [self.memories[sentence] for sentence in sentences]

        def answer(image: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
            (tokens,) = self.vision.run(["tokens"], {"image": image})
            for memory, mask in known:
                feed = {"tokens": tokens, "position": self.position}
                feed |= {"text_memory": memory, "text_mask": mask, **self.past}
                logits, boxes = self.fusion.run(["logits", "boxes"], feed)
                yield logits[0], boxes[0]

        return answer

    def ready(self) -> None:
        """All sentences are known: as our library, this keeps no text encoder."""
        self.text = None


class PyTorch:
    """Everything for each frame and sentence, as MDETR's own code runs."""

    def __init__(self, args: argparse.Namespace, size: tuple[int, int]):
        import torch

        from mdetr_training import official, weights

        torch.set_num_threads(args.threads)
        torch.set_num_interop_threads(args.threads)
        if args.structure:
            self.network = official.from_random(args.structure).network
        else:
            file = ROOT / f"models/training/weights/{args.model.name}.safetensors"
            _, self.network = weights.load(file)
        self.tokenizer = Tokenizer.from_file(str(args.model / "tokenizer.json"))
        self.torch, self.version = torch, torch.__version__

    def set(self, sentences: list[str]) -> Fuse:
        """What answers these sentences."""
        torch = self.torch

        def one(image: np.ndarray, sentence: str) -> tuple[np.ndarray, np.ndarray]:
            from mdetr_training.network import as_tuple

            with torch.inference_mode():
                ids = torch.tensor([self.tokenizer.encode(sentence).ids])
                mask = torch.ones_like(ids)
                pixels = torch.from_numpy(image)
                tokens = as_tuple(self.network.vision(pixels))[0]
                place = self.network.position(*pixels.shape[2:])
                text = self.network.text(ids, mask)
                logits, boxes = self.network.fusion(tokens, place, text, mask)[:2]
            return logits[0].numpy(), boxes[0].numpy()

        return lambda image: (one(image, sentence) for sentence in sentences)


def serve(args: argparse.Namespace) -> None:
    """Answer requests until there are no more."""
    model = manifest(args.model)
    width, height = args.size
    size = input_size(args.model, args.short_side)
    frames = np.fromfile(args.frames, np.uint8).reshape(-1, height, width, 3)
    sentences = args.queries.read_text().splitlines()
    prepare = Preparation(model, size)
    runner = {"torch": PyTorch, "onnxruntime": OnnxRuntime}[args.engine](args, size)
    if isinstance(runner, OnnxRuntime):
        runner.set(sentences)
        runner.ready()

    def ground(frame: np.ndarray, answer: Fuse) -> int:
        found = (
            detections(*outputs, model["thresholds"], args.size)
            for outputs in answer(prepare(frame))
        )
        return sum(map(len, found))

    print(json.dumps({"name": args.engine, "version": runner.version}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer = runner.set(sentences[: request["queries"]])
        for frame in frames[: request["warm"]]:
            ground(frame, answer)
        latencies, found, usage = [], 0, Usage.begin()
        ends = time.perf_counter() + request["seconds"]
        while not latencies or time.perf_counter() < ends:
            begun = time.perf_counter()
            found += ground(frames[len(latencies) % len(frames)], answer)
            latencies.append(1e3 * (time.perf_counter() - begun))
        reply = {"latencies_ms": latencies, "detections": found, **usage.cost()}
        print(json.dumps(reply), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=["torch", "onnxruntime"])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--frames", type=Path, required=True)
    parser.add_argument("--size", type=lambda text: tuple(map(int, text.split("x"))), required=True)
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--short-side", type=int)
    parser.add_argument("--structure", default="")
    parser.add_argument("--threads", type=int, required=True)
    try:
        serve(parser.parse_args())
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
