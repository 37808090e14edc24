"""Evidence in, one typed result out: pure functions of what was recorded."""

from harness.measures.evaluation import evaluate
from harness.measures.result import ExitCode, Result

__all__ = ["ExitCode", "Result", "evaluate"]
