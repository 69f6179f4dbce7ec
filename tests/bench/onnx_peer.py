"""ONNX Runtime on the course's net, as tests/bench/torch_peer.py exported it: onnx_peer.py NET [IMAGE].

With an image it answers once and ends, as examples/predict.lua does.
"""
import os
import sys

import numpy
import onnxruntime


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("PEER_THREADS", "2"))
    return onnxruntime.InferenceSession(path, options)


net = session(sys.argv[1])
if len(sys.argv) > 2:
    from PIL import Image
    picture = Image.open(sys.argv[2]).convert("RGB").resize((64, 64))
    x = numpy.asarray(picture, "f").transpose(2, 0, 1)[None] / 255
    print(net.run(None, {"x": x})[0].argmax())
else:
    import peer

    def make(request):
        x = numpy.random.rand(request["batch"], 3, request["side"], request["side"]).astype("f")
        return lambda: net.run(None, {"x": x}), {"version": onnxruntime.__version__}

    peer.serve(make)
