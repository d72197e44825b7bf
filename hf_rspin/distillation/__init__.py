"""Distillation: an encoder learns what one or two frozen teachers make of the same speech."""

from hf_rspin.distillation.arguments import DistillationArguments
from hf_rspin.distillation.batches import DistillationBatches
from hf_rspin.distillation.students import build_student
from hf_rspin.distillation.teacher_cache import TeacherCache, cache_teacher
from hf_rspin.distillation.teachers import EncoderTeacher, WhisperTeacher, load_teacher

__all__ = [
    "DistillationArguments",
    "DistillationBatches",
    "EncoderTeacher",
    "TeacherCache",
    "WhisperTeacher",
    "build_student",
    "cache_teacher",
    "load_teacher",
]
