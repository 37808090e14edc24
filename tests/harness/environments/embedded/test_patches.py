"""Merge, strategic merge and server-side apply."""

from typing import Any

import pytest

from harness.environments.embedded.kube.errors import ApiError
from harness.environments.embedded.kube.patches import apply, json_merge, strategic_merge
from harness.environments.embedded.kube.selectors import field_selector, label_selector


def test_json_merge_is_rfc_7386() -> None:
    assert json_merge({"a": 1, "b": {"c": 2, "d": 3}}, {"a": None, "b": {"c": 4}}) == {
        "b": {"c": 4, "d": 3}}
    assert json_merge({"a": [1]}, {"a": [2]}) == {"a": [2]}


def test_strategic_merge_joins_lists_by_their_key_and_obeys_directives() -> None:
    live = {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}
    patched = strategic_merge(live, {"containers": [
        {"name": "a", "image": "2"}, {"name": "b", "$patch": "delete"}, {"name": "c"}]})
    assert patched == {"containers": [{"name": "a", "image": "2"}, {"name": "c"}]}
    replaced = strategic_merge(live, {"containers": [{"$patch": "replace"}, {"name": "z"}]})
    assert replaced == {"containers": [{"name": "z"}]}
    assert strategic_merge({"finalizers": ["a", "b"]},
                           {"$deleteFromPrimitiveList/finalizers": ["a"]}) == {"finalizers": ["b"]}


def config(data: dict[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": data}


def test_what_a_manager_no_longer_applies_is_removed_and_others_fields_stay() -> None:
    live = apply({}, config({"a": "1", "b": "1"}), "one", False, "now")
    live = apply(live, config({"c": "1"}), "two", False, "now")
    live = apply(live, config({"a": "1"}), "one", False, "now")
    assert live["data"] == {"a": "1", "c": "1"}


def test_changing_anothers_value_is_a_conflict_unless_forced() -> None:
    live = apply({}, config({"a": "1"}), "one", False, "now")
    with pytest.raises(ApiError, match="conflict with \"one\"") as caught:
        apply(live, config({"a": "2"}), "two", False, "now")
    assert caught.value.code == 409
    forced = apply(live, config({"a": "2"}), "two", True, "now")
    assert forced["data"] == {"a": "2"}
    owners = {e["manager"]: e["fieldsV1"] for e in forced["metadata"]["managedFields"]}
    assert owners == {"two": {"f:data": {"f:a": {}}}}


def test_an_element_of_a_keyed_list_is_removed_when_its_owner_drops_it() -> None:
    def pod(*names: str) -> dict[str, Any]:
        return {"kind": "Pod", "metadata": {}, "spec": {
            "containers": [{"name": n, "image": "i"} for n in names]}}

    live = apply({}, pod("a", "b"), "one", False, "now")
    assert apply(live, pod("a"), "one", False, "now")["spec"]["containers"] == [
        {"name": "a", "image": "i"}]


@pytest.mark.parametrize(("selector", "expected"), [
    ("a=1", True), ("a!=1", False), ("a in (1,2),b", True), ("a notin (1)", False), ("!c", True),
    ("c", False), ("a==1,b=2", True)])
def test_label_selectors(selector: str, expected: bool) -> None:
    assert label_selector(selector)({"metadata": {"labels": {"a": "1", "b": "2"}}}) is expected


def test_field_selectors_compare_paths() -> None:
    obj = {"metadata": {"name": "x"}, "status": {"phase": "Running"}}
    assert field_selector("metadata.name=x,status.phase!=Failed")(obj)
    assert not field_selector("status.phase=Failed")(obj)
