"""Checkpoints: whole or not at all, and nothing else taken for one."""

import pytest
import torch

from gan_aug.checkpoint import load_checkpoint, random_states, restore_random_states, save_checkpoint
from gan_aug.errors import CheckpointError


def test_content_comes_back_and_no_draft_stays(tmp_path):
    path = tmp_path / "run" / "last.pt"
    save_checkpoint(path, {"step": 3, "weights": {"w": torch.arange(3)}})
    content = load_checkpoint(path)
    assert content["step"] == 3
    assert content["weights"]["w"].tolist() == [0, 1, 2]
    assert [each.name for each in path.parent.iterdir()] == ["last.pt"]


def test_a_failed_write_leaves_the_old_checkpoint_whole(tmp_path):
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"step": 1})
    with pytest.raises(Exception, match="pickle"):
        save_checkpoint(path, {"step": lambda: 2})
    assert load_checkpoint(path)["step"] == 1


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "text"])
def test_what_is_no_file_of_tensors_is_refused(tmp_path, damage):
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"step": 1})
    whole = path.read_bytes()
    match damage:
        case "missing":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(whole[: len(whole) // 2])
        case _:
            path.write_text("no checkpoint")
    with pytest.raises(CheckpointError, match=r"last\.pt cannot be read as a checkpoint: .*"):
        load_checkpoint(path)


@pytest.mark.parametrize(("content", "found"), [({"format": "other 2"}, "'other 2'"), ([1], "'list'")])
def test_tensors_of_something_else_are_refused(tmp_path, content, found):
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(CheckpointError, match=f"must have the format 'gan_aug training 1', got {found}"):
        load_checkpoint(tmp_path / "last.pt")


def test_global_random_numbers_go_on_from_their_states():
    torch.manual_seed(0)
    states = random_states()
    drawn = torch.rand(3)
    restore_random_states(states)
    assert torch.rand(3).equal(drawn)
