"""TrainingArguments is not of the project, so its options are not known."""

import sys
from dataclasses import dataclass, field

from transformers import HfArgumentParser, TrainingArguments


@dataclass
class ModelArguments:
    model_name: str = field(default="small", metadata={"help": "which model"})


@dataclass
class MyTrainingArguments(TrainingArguments):
    my_rate: float = field(default=0.5)


def main():
    parser = HfArgumentParser((ModelArguments, MyTrainingArguments))
    if len(sys.argv) == 2 and sys.argv[1].endswith(".json"):
        model_args, training_args = parser.parse_json_file(json_file=sys.argv[1])
    else:
        model_args, training_args = parser.parse_args_into_dataclasses()


if __name__ == "__main__":
    main()
