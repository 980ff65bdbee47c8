"""Options against a schema: what is filled in, what is refused, and how."""

from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from metatrain_symmetry.options import checked


class Hypers(TypedDict):
    """Options with defaults."""

    size: Annotated[int, Field(ge=1, strict=True)] = 3
    names: list[str] = ["a"]


class Model(BaseModel):
    """The same as a model."""

    model_config = ConfigDict(extra="forbid", strict=True)

    size: int = Field(default=3, ge=1)
    names: list[str] = ["a"]


def test_defaults():
    assert checked({}, Hypers, "section") == {"size": 3, "names": ["a"]}
    assert checked({"size": 5}, Hypers, "section")["size"] == 5
    assert checked({"names": []}, Model) == Model(names=[])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "room is None: give options such as size, names, or {} for the defaults"),
        ([], r"room is \[\]: give options"),
        ({"sise": 1}, "room has no option 'sise': did you mean size"),
        ({3: 1}, "room has no option 3: there are size, names"),
        ({"size": 0}, "'room.size' should be greater than or equal to 1"),
        ({"size": True}, "'room.size' should be a valid integer, not True"),
        ({"names": ["a", 1]}, r"'room.names\[1\]' should be a valid string, not 1"),
    ],
)
@pytest.mark.parametrize("schema", [Hypers, Model])
def test_one_sentence(given, message, schema):
    with pytest.raises(ValueError, match=message) as error:
        checked(given, schema, "room")
    assert len(str(error.value).splitlines()) == 1


def test_arguments_have_no_section():
    with pytest.raises(ValueError, match="there is no option 'sise': did you mean size"):
        checked({"sise": 1}, Model)
    with pytest.raises(ValueError, match="'size' should be greater"):
        checked({"size": 0}, Model)
