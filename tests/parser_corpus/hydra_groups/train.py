"""A configuration of groups."""

import hydra


@hydra.main(version_base="1.3", config_path="configs", config_name="train.yaml")
def my_app(cfg):
    pass


if __name__ == "__main__":
    my_app()
