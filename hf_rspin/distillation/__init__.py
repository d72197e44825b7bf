"""Distillation: an encoder learns what one or two frozen teachers make of the same speech."""

from hf_rspin.lazy import import_later

_MODULE_OF = {
    "build_student": "students",
    "cache_teacher": "teacher_cache",
    "DistillationArguments": "arguments",
    "DistillationBatches": "batches",
    "EncoderTeacher": "teachers",
    "load_teacher": "teachers",
    "TeacherCache": "teacher_cache",
    "WhisperTeacher": "teachers",
}

__all__ = sorted(_MODULE_OF)
__getattr__ = import_later(__name__, _MODULE_OF)
