"""What all sections of the file have in common."""

from functools import partial
from typing import Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError


def each_once(values: object, *, any_case: bool = False) -> object:
    """Refuse a list in which some text stands twice."""
    if isinstance(values, list):
        texts = [value.lower() if any_case else value for value in values if isinstance(value, str)]
        if len(set(texts)) < len(texts):
            raise ValueError("each of them once")
    return values


def refused(setting: str, wanted: str) -> PydanticCustomError:
    """Says of one setting that it does not go with others of its section."""
    return PydanticCustomError("setting", "{wanted}", {"setting": setting, "wanted": wanted})


EachOnce = BeforeValidator(each_once)
EachOnceInAnyCase = BeforeValidator(partial(each_once, any_case=True))


class Section(BaseModel):
    """Unknown keys are mistakes; values do not change once read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def settings(cls) -> dict[str, FieldInfo]:
        """The settings by name, as people read them: those of its own before those that it shares."""
        own = [name for name in cls.model_fields if name in cls.__annotations__]
        return {name: cls.model_fields[name] for name in dict.fromkeys([*own, *cls.model_fields])}

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, values: Any) -> Any:
        """What has no value is as good as absent, and so is what is optional and empty: `${NAME:-}`."""
        if not isinstance(values, dict):
            return values
        optional = {name for name, field in cls.model_fields.items() if field.default is None}
        return {
            name: value
            for name, value in values.items()
            if not (value is None and name in cls.model_fields) and not (value == "" and name in optional)
        }

    @model_serializer(mode="wrap")
    def _in_order(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values = handler(self)
        return {name: values[name] for name in self.settings()}
