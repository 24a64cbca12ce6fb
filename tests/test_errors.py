from flood_seg import errors


def test_the_tree_in_the_docstring_is_the_tree_of_classes():
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.FloodSegError)]
    assert len(classes) > 5
    for kind in classes:
        assert f"{kind.__name__} " in errors.__doc__
        assert kind.exit_code == (1 if kind in (errors.DisagreementError, errors.FindingsError) else 2)  # as tests fail


def test_near_words_are_suggested_and_far_ones_are_not():
    assert errors.did_you_mean("imge", ["image", "out"]) == " (did you mean 'image'?)"
    assert errors.did_you_mean("xyz", ["image", "out"]) == ""
