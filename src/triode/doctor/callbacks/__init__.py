"""The doctor as a callback of a training framework: Lightning, Hugging Face's Trainer, Keras 3 on PyTorch.

A module a framework, so that only the one that is asked for is imported:

    from triode.doctor.callbacks.lightning import DoctorCallback
    from triode.doctor.callbacks.huggingface import DoctorCallback
    from triode.doctor.callbacks.keras import DoctorCallback
"""
