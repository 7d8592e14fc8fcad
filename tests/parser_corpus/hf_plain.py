"""Dataclasses as Hugging Face reads them."""

from dataclasses import dataclass, field
from enum import Enum
from typing import List, Literal, Optional

from transformers import HfArgumentParser


class Kind(Enum):
    CAUSAL = "causal"
    MASKED = "masked"


@dataclass
class ModelArguments:
    model_name: str = field(metadata={"help": "which model"})
    kind: Kind = Kind.CAUSAL
    use_fast: bool = True
    trust_remote_code: bool = field(default=False, metadata={"help": "be careful"})
    revision: Optional[str] = field(default=None)
    dtype: Literal["float16", "float32"] = "float32"


@dataclass
class DataArguments:
    files: List[str] = field(default_factory=list, metadata={"help": "what to read"})
    max_length: Optional[int] = field(default=128, metadata={"help": "in tokens"})
    overwrite: Optional[bool] = None
    weights: List[float] = field(default_factory=lambda: [0.5, 0.5])


if __name__ == "__main__":
    parser = HfArgumentParser((ModelArguments, DataArguments))
    model_args, data_args = parser.parse_args_into_dataclasses()
