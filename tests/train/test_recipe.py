"""Recipes that cannot be read end in one line."""

from pathlib import Path

import pytest

from quadpred.train.recipe import Recipe, RecipeError


@pytest.mark.parametrize(
    ("recipes", "reason"),
    [
        ({"a": 'base = "a"'}, "base 'a' is circular; choose another"),
        ({"a": 'base = "b"', "b": 'base = "a"'}, "base 'a' is circular; choose another"),
        ({"a": 'base = "b"', "b": 'base = "c"', "c": 'base = "b"'}, "base 'b' is circular"),
        ({"a": "base = 5"}, "base must be the name of a recipe, found 5"),
        ({"a": 'base = "none"'}, "none: No such file or directory; bundled recipes: "),
        ({"a": "["}, "not TOML"),
        ({"a": f"a = {'[' * 50_000}"}, "not TOML"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    recipes: dict[str, str], reason: str, tmp_path: Path
) -> None:
    for name, text in recipes.items():
        (tmp_path / f"{name}.toml").write_text(text)
    with pytest.raises(RecipeError, match=reason) as error:
        Recipe.load(tmp_path / "a.toml")
    assert str(error.value).isprintable()


def test_a_base_that_comes_with_the_package_may_be_extended(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text('base = "adapt"\nname = "mine"\n')
    assert Recipe.load(tmp_path / "base.toml").name == "mine"
