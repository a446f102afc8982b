"""Word vectors out of GloVe files and the released program's, and our own."""

import gc
import tracemalloc

import numpy as np
import pytest

from tdgan_jax.errors import UserError
from tdgan_jax.families.emotion_gcn.adjacency import AFFECTNET_EXPRESSIONS
from tdgan_jax.families.emotion_gcn.word_vectors import (
    VECTOR_LENGTH,
    embedded_word_vectors,
    random_word_vectors,
    read_glove,
    read_released_word_vectors,
    words_of,
)

WORDS = words_of(AFFECTNET_EXPRESSIONS)
SIZE = 6


def glove_text(words=WORDS, size=SIZE, *, ending="\n", fillers=3):
    generator = np.random.default_rng(0)
    lines = [f"filler{i} " + " ".join(["0.25"] * size) for i in range(fillers)]
    vectors = np.round(generator.normal(size=(len(words), size)), 5).astype(np.float32)
    # The file knows its own order.
    for word, vector in reversed(list(zip(words, vectors, strict=True))):
        lines.append(f"{word} " + " ".join(f"{value:.5f}" for value in vector))
    return "\n".join(lines) + ending, vectors


def written(tmp_path, text):
    path = tmp_path / "glove.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_the_words_are_the_specs():
    assert WORDS == tuple("neutral happy sad surprise fear disgust anger valence arousal".split())


def test_a_glove_file_gives_the_words_in_the_order_of_the_nodes(tmp_path):
    text, vectors = glove_text()
    np.testing.assert_array_equal(read_glove(written(tmp_path, text), WORDS, size=SIZE), vectors)
    text, vectors = glove_text(ending="")
    np.testing.assert_array_equal(read_glove(written(tmp_path, text), WORDS, size=SIZE), vectors)


def test_other_words_may_hold_spaces_or_strange_bytes(tmp_path):
    text, vectors = glove_text(fillers=1)
    # As in the file of 840 billion tokens; and a word that is no UTF-8.
    strange = b"filler0 " + b" ".join([b"1"] * SIZE) + b"\n"
    strange += b". . name@domain.com " + b" ".join([b"1"] * SIZE) + b"\n"
    strange += b"\xff\xfe " + b" ".join([b"1"] * SIZE) + b"\n"
    strange += b"happy-go-lucky " + b" ".join([b"2"] * SIZE) + b"\n"
    path = written(tmp_path, strange + text.encode())
    np.testing.assert_array_equal(read_glove(path, WORDS, size=SIZE), vectors)


def test_reading_stops_at_the_last_word_and_keeps_little(tmp_path):
    text, vectors = glove_text()
    path = written(tmp_path, text)
    line = b"word " + b" ".join([b"0.12345"] * SIZE) + b"\n"
    with open(path, "ab") as file:
        for _ in range(200):
            file.write(line * 1000)  # 10 MB that nobody needs
        file.write(b"word 0.1 0.2 0.3 0.4 0.5")
    np.testing.assert_array_equal(read_glove(path, WORDS, size=SIZE), vectors)
    # Measured the second time, without what is imported or compiled at the first.
    for _ in range(2):
        gc.collect()
        tracemalloc.start()
        read_glove(path, WORDS, size=SIZE)
        try:
            read_glove(path, ("absent",), size=SIZE)
        except UserError as error:
            message = str(error)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert "is truncated: line 200013 holds 5 numbers, not 6" in message
    assert peak < 1_000_000


@pytest.mark.parametrize("size", [SIZE - 1, SIZE + 1])
def test_another_dimension_is_named(tmp_path, size):
    path = written(tmp_path, glove_text()[0])
    message = f"no GloVe file of {size} dimensions: its first line holds {SIZE} numbers"
    with pytest.raises(UserError, match=message):
        read_glove(path, WORDS, size=size)


def test_missing_words_are_named(tmp_path):
    text = "\n".join(
        line for line in glove_text()[0].splitlines() if not line.startswith(("valence", "fear"))
    )
    with pytest.raises(UserError, match=r"has no vector of fear, valence \(10 lines read\)"):
        read_glove(written(tmp_path, text), WORDS, size=SIZE)


def test_a_truncated_line_is_named(tmp_path):
    text, _ = glove_text()
    cut = text.rstrip().rpartition(" ")[0]
    with pytest.raises(UserError, match="truncated: line 12 holds 5 numbers, not 6; download it"):
        read_glove(written(tmp_path, cut), WORDS, size=SIZE)
    with pytest.raises(UserError, match="does not hold 6 finite numbers"):
        read_glove(written(tmp_path, text.rstrip().rpartition(" ")[0] + " "), WORDS, size=SIZE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no vector of neutral"),
        (b"PK\x03\x04\x14\x00\x00\x00\n", "no text file; unpack the archive"),
        (b"\0" * 200_000, "is no GloVe text file: line 1 does not end"),
        (b"neutral a b c d e f\n", "damaged: line 1 does not hold numbers"),
        (b"neutral 1 2 3 nan 5 6\n", "damaged: line 1 does not hold 6 finite numbers"),
        (b"neutral 1 2 3 4 5 1e60\n", "damaged: line 1 does not hold 6 finite numbers"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        read_glove(written(tmp_path, content), WORDS, size=SIZE)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="cannot read .*absent.txt: No such file"):
        read_glove(tmp_path / "absent.txt", WORDS)


def test_embedded_vectors_have_the_cosines_of_the_positions():
    vectors = embedded_word_vectors(AFFECTNET_EXPRESSIONS)
    assert vectors.shape == (9, 300) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), VECTOR_LENGTH, rtol=1e-5)
    cosines = vectors @ vectors.T / VECTOR_LENGTH**2
    place = {word: i for i, word in enumerate(WORDS)}

    def cosine(first, second):
        return cosines[place[first], place[second]]

    distance = np.array([0.60 - 0.51, 0.59 - 0.35, 0.25 - 0.11])
    expected = np.exp(-(distance @ distance) / (2 * 0.5**2))
    assert cosine("disgust", "anger") == pytest.approx(expected, abs=0.03)
    assert cosine("fear", "anger") > cosine("fear", "sad") > cosine("fear", "happy")
    assert cosine("happy", "valence") > cosine("sad", "valence")
    assert cosine("surprise", "arousal") > cosine("sad", "arousal")
    # Nine words span nine dimensions: the graph can tell them apart.
    assert np.linalg.svd(vectors)[1][-1] > 1


def test_an_embedded_vector_belongs_to_its_word_alone():
    vectors = embedded_word_vectors(AFFECTNET_EXPRESSIONS, size=20)
    few = embedded_word_vectors(("anger", "neutral"), size=20)
    np.testing.assert_array_equal(few, vectors[[6, 0, 7, 8]])
    # The same on every machine.
    np.testing.assert_allclose(few[0, :3], [0.166139, -1.186071, -0.978807], rtol=1e-5)


def test_embedded_vectors_that_do_not_exist_are_refused():
    with pytest.raises(UserError, match="no embedded word vectors for contempt, boredom; give"):
        embedded_word_vectors(("anger", "contempt", "boredom"))
    with pytest.raises(ValueError, match="word_vector_size must be even .*, got 7"):
        embedded_word_vectors(("anger",), size=7)


def test_random_vectors_are_of_the_same_length_and_their_seed():
    vectors = random_word_vectors(9, size=300, seed=3)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), VECTOR_LENGTH, rtol=1e-5)
    np.testing.assert_array_equal(vectors, random_word_vectors(9, size=300, seed=3))
    assert not np.array_equal(vectors, random_word_vectors(9, size=300, seed=4))


def test_the_released_programs_file(tmp_path):
    torch = pytest.importorskip("torch", reason="the file is PyTorch's")
    vectors = np.random.default_rng(0).normal(size=(9, SIZE)).astype(np.float32)
    torch.save(torch.tensor(vectors), tmp_path / "emb.pkl")
    read = read_released_word_vectors(tmp_path / "emb.pkl", num_nodes=9)
    np.testing.assert_array_equal(read, vectors)
    with pytest.raises(UserError, match=r"shape \(9, 6\); 10 rows, one for each expression, val"):
        read_released_word_vectors(tmp_path / "emb.pkl", num_nodes=10)
    vectors[0, 0] = np.nan
    torch.save(torch.tensor(vectors), tmp_path / "emb.pkl")
    with pytest.raises(UserError, match="no finite numbers"):
        read_released_word_vectors(tmp_path / "emb.pkl", num_nodes=9)
