"""absl flags."""

from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_string("data", None, "a folder")
flags.DEFINE_integer("epochs", 3, "passes", lower_bound=1)
flags.DEFINE_float("lr", 0.1, "step", lower_bound=0.0, upper_bound=1.0, short_name="l")
flags.DEFINE_bool("amp", False, "half precision")
flags.DEFINE_boolean("pin", True, "pin memory")
flags.DEFINE_enum("mode", "fast", ["fast", "good"], "how")
flags.DEFINE_list("layers", ["1", "2"], "sizes")
flags.DEFINE_spaceseplist("words", "a b", "words")
flags.DEFINE_multi_string("tag", None, "tags")
flags.DEFINE_multi_integer("ids", [1, 2], "numbers")
flags.mark_flag_as_required("data")


def main(argv):
    del argv
    print(FLAGS.epochs)


if __name__ == "__main__":
    app.run(main)
