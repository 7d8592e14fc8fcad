"""A configuration that is a dataclass."""

from dataclasses import dataclass, field
from enum import Enum
from typing import List, Optional

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


class Device(Enum):
    CPU = 0
    GPU = 1


@dataclass
class Model:
    width: int = 64
    name: str = "net"


@dataclass
class Config:
    data: str = MISSING
    lr: float = 0.1
    amp: bool = False
    device: Device = Device.CPU
    layers: List[int] = field(default_factory=lambda: [1, 2])
    limit: Optional[int] = None
    model: Model = field(default_factory=Model)


store = ConfigStore.instance()
store.store(name="config", node=Config)


@hydra.main(version_base=None, config_path=None, config_name="config")
def main(cfg: Config) -> None:
    pass


if __name__ == "__main__":
    main()
