"""Count the words of a text, the most frequent first."""

import collections
import re
import sys


def count(text):
    """Return (word, number) pairs; words are compared without case."""
    words = re.findall(r"[^\W\d_]+", text)
    return collections.Counter(words).most_common()


def main():
    for word, number in count(sys.stdin.read())[:10]:
        print(f"{number:6} {word}")


if __name__ == "__main__":
    main()
