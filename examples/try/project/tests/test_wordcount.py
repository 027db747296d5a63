import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
import wordcount


class CountTest(unittest.TestCase):
    def test_frequent_words_come_first(self):
        self.assertEqual(wordcount.count("b a b")[0], ("b", 2))

    def test_case_does_not_matter(self):
        self.assertEqual(wordcount.count("The the THE"), [("the", 3)])


if __name__ == "__main__":
    unittest.main()
