"""Train a small neural network to read handwritten digits.

An ordinary script: it also runs by hand, ``python train.py --data ../digits-data``. Two things make
it pleasant to follow: it reports its numbers with `report`, and it saves into the directory
that the variable ANYLEARN_TASK_OUTPUT_PATH names.
"""

from __future__ import annotations

import argparse
import os
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from anylearn_jupyter.tracking import report


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of images.npy, labels.npy")
    parser.add_argument("--epochs", type=int, default=15, help="times through the data")
    parser.add_argument("--lr", type=float, default=2e-3, help="learning rate of Adam")
    parser.add_argument("--batch-size", type=int, default=32, help="images in each step")
    parser.add_argument("--hidden", type=int, default=64, help="neurons of the hidden layer")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and the order")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(os.environ.get("ANYLEARN_TASK_OUTPUT_PATH", "output")),
        help="where the model goes",
    )
    return parser.parse_args()


def main() -> None:
    options = read_arguments()
    images = np.load(options.data / "images.npy") / 16.0  # grey levels 0 to 16
    labels = np.load(options.data / "labels.npy")
    train_images, check_images, train_labels, check_labels = train_test_split(
        images, labels, test_size=0.15, random_state=options.seed, stratify=labels
    )
    print(f"{len(train_images)} images to learn from, {len(check_images)} to check with")

    network = MLPClassifier(
        hidden_layer_sizes=(options.hidden,),
        learning_rate_init=options.lr,
        batch_size=options.batch_size,
        random_state=options.seed,
    )
    for epoch in range(1, options.epochs + 1):
        network.partial_fit(train_images, train_labels, classes=range(10))
        guesses = network.predict_proba(check_images)
        loss = log_loss(check_labels, guesses)
        accuracy = float((guesses.argmax(axis=1) == check_labels).mean())
        report(step=epoch, loss=loss, accuracy=accuracy)
        print(f"epoch {epoch}/{options.epochs}  loss {loss:.4f}  accuracy {accuracy:.4f}")

    options.output.mkdir(parents=True, exist_ok=True)
    (w1, w2), (b1, b2) = network.coefs_, network.intercepts_
    np.savez(options.output / "model.npz", w1=w1, b1=b1, w2=w2, b2=b2)
    print(f"saved {options.output / 'model.npz'}")


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)  # an epoch at a time is meant
    main()
