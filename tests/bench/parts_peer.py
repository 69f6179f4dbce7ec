"""keras-preprocessing's generator and scikit-learn's report, for the parts of the course around the net."""
import contextlib
import io

import numpy

import peer


def augment(request):
    import keras_preprocessing
    from keras_preprocessing.image import ImageDataGenerator
    generator = ImageDataGenerator(rescale=1 / 255, rotation_range=20, zoom_range=0.05, width_shift_range=0.05,
                                   height_shift_range=0.05, shear_range=0.05, horizontal_flip=True,
                                   fill_mode="nearest")
    with contextlib.redirect_stdout(io.StringIO()):
        flow = generator.flow_from_directory(request["folder"], target_size=(64, 64), batch_size=request["batch"])

    def epoch():
        for _ in range(len(flow)):
            next(flow)
    return epoch, {"per": len(flow), "version": keras_preprocessing.__version__}


def report(request):
    import sklearn
    from sklearn.metrics import classification_report, roc_auc_score
    random = numpy.random.RandomState(1)
    truth, scores = random.randint(0, 2, request["n"]), random.rand(request["n"])

    def run():
        classification_report(truth, scores > 0.5)
        roc_auc_score(truth, scores)
    return run, {"version": sklearn.__version__}


peer.serve(lambda request: {"augment": augment, "report": report}[request["what"]](request))
