"""Parameters become values, or a sentence that says what is wrong and never quotes the value."""

import base64
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.body.uploads import Parameters
from gateway.calls.parameters import check
from shared.calls import (
    ADD_FACE,
    AddFaceParameters,
    DelFaceParameters,
    FaceCompareParameters,
    SearchFaceParameters,
)
from shared.contract import FACEDB, NAME, Faces
from shared.errors import InvalidRequest, PersonUnknown
from shared.jobs import AddJob, SearchJob

IMG = base64.b64encode(b"\xff\xd8\xff")


def refusal(model: type, parameters: Parameters) -> str:
    with pytest.raises(InvalidRequest) as error:
        check(model, parameters)
    return error.value.message


class TestImg:
    @pytest.mark.parametrize("model", [AddFaceParameters, SearchFaceParameters])
    def test_an_image_is_required_and_a_file_is_taken_as_it_is(self, model: type) -> None:
        sentence = "img is missing or empty; it must be the base64 of a jpeg, png or bmp image of at most 2M"
        assert refusal(model, Parameters()) == sentence
        assert refusal(model, Parameters(images={"img": b""}, files={"img"})) == sentence
        assert check(model, Parameters(images={"img": b"\xff\xd8"}, files={"img"})).img == b"\xff\xd8"
        assert check(model, Parameters(images={"img": IMG})).img == b"\xff\xd8\xff"

    @pytest.mark.parametrize(
        ("sent", "image"),
        [
            (b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xe0"),
            (b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n"),
            (b"BM", b"BM"),
            (IMG, b"\xff\xd8\xff"),
            (IMG + b"\r\n", b"\xff\xd8\xff"),
            (b"data:image/jpeg;base64," + IMG, b"\xff\xd8\xff"),
            (b"GIF89a", base64.b64decode(b"GIF89a==")),  # is base64 as well, and no image in either reading
            (b"GIF89a\0\0", b"GIF89a\0\0"),
            (b"hello, I am text", b"hello, I am text"),
            (b"  ", b"  "),
        ],
    )
    def test_a_file_is_an_image_or_the_base64_of_one_by_its_content(self, sent: bytes, image: bytes) -> None:
        assert check(SearchFaceParameters, Parameters(images={"img": sent}, files={"img"})).img == image

    def test_parameters_of_other_calls_are_ignored(self) -> None:
        assert (
            check(DelFaceParameters, Parameters(text={"person_id": "x"}, images={"img": b"<no base64>"})).person_id
            == "x"
        )
        assert check(SearchFaceParameters, Parameters(text={"name": "a b"}, images={"img": IMG})).facedb is None


class TestTwoImages:
    def test_each_image_is_a_file_or_base64(self) -> None:
        given_ = check(FaceCompareParameters, Parameters(images={"img2": IMG, "img1": b"BM"}, files={"img1"}))
        assert (given_.img1, given_.img2) == (b"BM", b"\xff\xd8\xff")

    def test_both_images_are_required(self) -> None:
        sentence = "{} is missing or empty; it must be the base64 of a jpeg, png or bmp image of at most 2M"
        assert refusal(FaceCompareParameters, Parameters(images={"img": IMG})) == sentence.format("img1")
        assert refusal(FaceCompareParameters, Parameters(images={"img2": b"!"})) == sentence.format("img1")
        assert refusal(FaceCompareParameters, Parameters(images={"img1": IMG, "img": IMG})) == sentence.format("img2")

    def test_a_refusal_names_the_image(self) -> None:
        assert refusal(FaceCompareParameters, Parameters(images={"img1": b"!", "img2": b"!"})) == "img1 is not base64"
        assert refusal(FaceCompareParameters, Parameters(images={"img1": IMG, "img2": b"!"})) == "img2 is not base64"
        empty = Parameters(images={"img1": IMG, "img2": b""})
        assert refusal(FaceCompareParameters, empty).startswith("img2 is empty; it must be")

    def test_facedb_is_ignored(self) -> None:
        check(FaceCompareParameters, Parameters(text={"facedb": "a b"}, images={"img1": IMG, "img2": IMG}))


class TestName:
    def test_a_missing_name_is_not_an_empty_name(self) -> None:
        assert check(AddFaceParameters, Parameters(images={"img": IMG})).name is None
        assert check(AddFaceParameters, Parameters(text={"name": ""}, images={"img": IMG})).name == ""

    @pytest.mark.parametrize("name", ["a b", "x" * 129, "naïve", "a\n", "../x", "\0", "٣"])
    def test_a_name_is_letters_and_digits(self, name: str) -> None:
        assert refusal(AddFaceParameters, Parameters(text={"name": name}, images={"img": IMG})) == (
            "name must be at most 128 letters and digits"
        )

    @given(st.text("aZ09-_ é\n", max_size=140))
    def test_accepted_names_are_those_of_the_contract(self, name: str) -> None:
        try:
            taken = check(AddFaceParameters, Parameters(text={"name": name}, images={"img": IMG})).name == name
        except InvalidRequest:
            taken = False
        assert taken == bool(NAME.fullmatch(name))


class TestFreeName:
    free = ADD_FACE.parameters_for("free")

    def test_strict_names_are_those_of_the_contract(self) -> None:
        assert ADD_FACE.parameters_for("strict") is AddFaceParameters
        assert list(self.free.model_fields) == list(AddFaceParameters.model_fields), "in the same order"

    @pytest.mark.parametrize("name", ["", "a b", "naïve", "山田\u3000太郎", "<b>", "\U0001f642" * 128, "e\u0301"])
    def test_a_free_name_is_taken_as_it_is(self, name: str) -> None:
        assert check(self.free, Parameters(text={"name": name}, images={"img": IMG})).name == name
        assert check(self.free, Parameters(images={"img": IMG})).name is None

    @pytest.mark.parametrize("name", ["x" * 129, "a\n", "\0", "\u202eabc", "\u2028", "\ud800"])
    def test_a_free_name_is_printable(self, name: str) -> None:
        assert refusal(self.free, Parameters(text={"name": name}, images={"img": IMG})) == (
            "name must be at most 128 printable characters"
        )

    @given(st.text(max_size=130))
    def test_gateway_and_worker_accept_the_same_names(self, name: str) -> None:
        job = {"job_id": f"{'0' * 12}.{'0' * 32}", "collection": "a.b.00000000", "deadline": 1.0, "name": name}
        try:
            taken = check(self.free, Parameters(text={"name": name}, images={"img": IMG})).name == name
        except InvalidRequest:
            taken = False
        try:
            assert AddJob.model_validate(job).name == name
        except ValidationError:
            assert not taken
        else:
            assert taken


def needed(model: type) -> dict[str, str]:
    """Return the texts without which no request is valid."""
    return {"person_id": "x"} if model is DelFaceParameters else {}


class TestFacedb:
    @pytest.mark.parametrize("model", [AddFaceParameters, SearchFaceParameters, DelFaceParameters])
    @pytest.mark.parametrize("facedb", ["x" * 65, "a.b", "a/b", "a b", "a\n"])
    def test_a_facedb_is_letters_digits_and_hyphens(self, model: type, facedb: str) -> None:
        given_ = Parameters(text={"facedb": facedb} | needed(model), images={"img": IMG})
        assert refusal(model, given_) == "facedb must be 1 to 64 letters, digits, - or _"

    @pytest.mark.parametrize("model", [AddFaceParameters, SearchFaceParameters, DelFaceParameters])
    def test_an_empty_facedb_is_the_default(self, model: type) -> None:
        given_ = Parameters(text={"facedb": ""} | needed(model), images={"img": IMG})
        assert check(model, given_).facedb is None

    @given(st.text("aZ09-_ é\n", max_size=70))
    def test_accepted_facedbs_are_those_of_the_contract(self, facedb: str) -> None:
        try:
            given_ = Parameters(text={"facedb": facedb}, images={"img": IMG})
            taken = check(SearchFaceParameters, given_).facedb == (facedb or None)
        except InvalidRequest:
            taken = False
        assert taken == (not facedb or bool(FACEDB.fullmatch(facedb)))


class TestFaces:
    def given(self, **text: str) -> Parameters:
        return Parameters(text=text, images={"img": IMG})

    @pytest.mark.parametrize("faces", Faces)
    def test_faces_is_one_of_three_words(self, faces: Faces) -> None:
        assert check(AddFaceParameters, self.given(faces=faces.value)).faces is faces

    def test_faces_is_all_by_default(self) -> None:
        assert check(AddFaceParameters, self.given()).faces is Faces.ALL

    @pytest.mark.parametrize("faces", ["", "ONE", "1", "first", "one ", "largest\n"])
    def test_any_other_value_is_refused(self, faces: str) -> None:
        """An empty one, too: a caller whose value got lost must not enrol every face."""
        assert refusal(AddFaceParameters, self.given(faces=faces)) == "faces must be all, largest or one"

    def test_faces_is_ignored_by_other_calls(self) -> None:
        check(DelFaceParameters, self.given(faces="!", person_id="x"))


class TestUnique:
    def checked(self, **text: str) -> AddFaceParameters:
        return check(AddFaceParameters, Parameters(text=text, images={"img": IMG}))

    def test_left_out_it_is_not_sent_to_workers_and_needs_no_calibration(self) -> None:
        assert self.checked().job_fields() == {"name": None}
        assert not self.checked().compares

    @pytest.mark.parametrize("value", ["80", "95.5", "100"])
    def test_a_confidence_from_80_on_is(self, value: str) -> None:
        assert self.checked(unique=value).job_fields() == {"name": None, "unique": float(value)}
        assert self.checked(unique=value).compares


class TestImageOrPerson:
    """searchface needs one of both."""

    NEITHER = "img is missing or empty; it must be the base64 of a jpeg, png or bmp image of at most 2M"
    BOTH = "img and person_id are both given; give one of them"

    @pytest.mark.parametrize("text", [{}, {"person_id": ""}, {"facedb": "!"}, {"limit": "0"}, {"faces": "x"}])
    def test_with_neither_the_image_is_missing_whatever_else_is_wrong(self, text: dict[str, str]) -> None:
        assert refusal(SearchFaceParameters, Parameters(text=text)) == self.NEITHER

    def test_both_are_refused(self) -> None:
        assert refusal(SearchFaceParameters, Parameters(text={"person_id": "x"}, images={"img": IMG})) == self.BOTH

    def test_a_person_takes_no_image_and_goes_in_its_canonical_form(self) -> None:
        person = "4FBD9474E09F4E7D9A2F06FA1167F67E"
        given_ = check(SearchFaceParameters, Parameters(text={"person_id": person}))
        assert given_.encoded == ()
        assert given_.job_fields() == {"person_id": "4fbd9474-e09f-4e7d-9a2f-06fa1167f67e"}

    def test_a_text_that_is_no_id_is_nobody(self) -> None:
        given_ = check(SearchFaceParameters, Parameters(text={"person_id": "x"}))
        with pytest.raises(PersonUnknown):
            given_.job_fields()

    def test_an_empty_person_with_an_image_is_left_out(self) -> None:
        given_ = check(SearchFaceParameters, Parameters(text={"person_id": ""}, images={"img": IMG}))
        assert given_.job_fields() == {}

    def test_a_person_is_one(self) -> None:
        refused = refusal(SearchFaceParameters, Parameters(text={"person_id": "x", "faces": "all"}))
        assert refused == "faces must be largest or left out with a person_id, which is one person"


class TestOptionsOfASearch:
    def checked(self, **text: str) -> SearchFaceParameters:
        return check(SearchFaceParameters, Parameters(text=text, images={"img": IMG}))

    def test_by_default_they_are_those_of_the_contract_and_not_sent_to_workers(self) -> None:
        for given_ in (self.checked(), self.checked(limit="50", min_confidence="80.0")):
            assert (given_.limit, given_.min_confidence) == (50, 80)
            assert given_.job_fields() == {}

    @given(st.integers(1, 50), st.floats(0, 100, allow_subnormal=False))
    def test_numbers_in_their_ranges_reach_the_worker(self, limit: int, least: float) -> None:
        given_ = self.checked(limit=str(limit), min_confidence=f"{least:.17f}")
        common = {"job_id": f"{'0' * 12}.{'0' * 32}", "deadline": 0, "collection": "a.b.00000000"}
        job = SearchJob(**common, **given_.job_fields())
        assert (job.limit, job.min_confidence) == (limit, pytest.approx(least, abs=1e-15))

    @pytest.mark.parametrize(
        "limit",
        ["", "0", "51", "-1", "5.5", " 5", "5\n", "0x5", "1_0", "five", "\N{ARABIC-INDIC DIGIT FIVE}", "9" * 5000],
    )
    def test_another_limit_is_refused(self, limit: str) -> None:
        with pytest.raises(InvalidRequest, match=r"^limit must be a whole number from 1 to 50$"):
            self.checked(limit=limit)

    @pytest.mark.parametrize("least", ["", "-0.001", "100.001", "nan", "inf", "1e999", "9,5", "95%", " 95", "9" * 5000])
    def test_another_least_confidence_is_refused(self, least: str) -> None:
        with pytest.raises(InvalidRequest, match=r"^min_confidence must be a number from 0 to 100$"):
            self.checked(min_confidence=least)

    @pytest.mark.parametrize("model", [AddFaceParameters, DelFaceParameters])
    def test_other_calls_ignore_them(self, model: type) -> None:
        check(model, Parameters(text={"limit": "!", "person_id": "x"}, images={"img": IMG}))


class TestPersonId:
    @pytest.mark.parametrize("text", [{}, {"person_id": ""}])
    def test_a_person_id_is_required(self, text: dict[str, str]) -> None:
        assert refusal(DelFaceParameters, Parameters(text=text)) == (
            "person_id is missing or empty; it must be the person_id of an added face"
        )

    @pytest.mark.parametrize("text", ["1", "x" * 36, "4fbd9474-e09f-4e7d-9a2f-06fa1167f67", "\0", "٣" * 32 + "x"])
    def test_a_person_id_that_is_no_uuid_is_unknown(self, text: str) -> None:
        with pytest.raises(PersonUnknown):
            check(DelFaceParameters, Parameters(text={"person_id": text})).job_fields()

    @given(st.uuids())
    def test_a_person_id_may_be_written_without_hyphens(self, identifier: uuid.UUID) -> None:
        given_ = check(DelFaceParameters, Parameters(text={"person_id": identifier.hex}))
        assert given_.job_fields() == {"person_id": str(identifier)}


def test_the_first_wrong_parameter_in_the_contracts_order_is_reported() -> None:
    wrong = Parameters(text={"name": "a b", "facedb": "a b"}, images={"img": b"!"})
    assert refusal(AddFaceParameters, wrong) == "img is not base64"
    wrong.images["img"] = IMG
    assert refusal(AddFaceParameters, wrong).startswith("name must be")
    del wrong.text["name"]
    assert refusal(AddFaceParameters, wrong).startswith("facedb must be")


@given(st.text("é٣🙂\x80", min_size=1), st.sampled_from(["img", "name", "facedb"]))
def test_no_sentence_quotes_the_value(value: str, where: str) -> None:
    given_ = Parameters(text={"name": "n", "facedb": "f"}, images={"img": IMG})
    if where == "img":
        given_.images["img"] = value.encode()
    else:
        given_.text[where] = value
    assert refusal(AddFaceParameters, given_).isascii()
