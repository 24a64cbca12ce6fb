"""From a checkpoint to files that run elsewhere: ONNX, float16, INT8, TensorRT."""
