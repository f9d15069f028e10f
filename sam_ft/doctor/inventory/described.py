"""Volumes that a `dataset.json` is about: `data=nnunet` and `data=msd`. Their files are opened when looked at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sam_ft.data import msd
from sam_ft.data.channel_choice import chosen_channels
from sam_ft.data.folders import expanded
from sam_ft.data.nnunet.description import read_description
from sam_ft.data.nnunet.files import cases_in, training_cases
from sam_ft.data.nnunet.parts import case_files, nnunet_splits, without_test
from sam_ft.doctor.cases import Inventory
from sam_ft.doctor.inventory.samples import sample_cases
from sam_ft.doctor.inventory.volumes import cases_of_files, divided, volume_inventory


def nnunet_cases(arguments: dict[str, Any]) -> Inventory:
    """Of the arguments of `nnunet_splits`; single images are listed by their samples. Raises as `nnunet_splits`."""
    folder = expanded(arguments["root"])
    description = read_description(folder / "dataset.json")
    if not description.is_of_volumes:
        return sample_cases(nnunet_splits(**arguments))
    chosen = chosen_channels(description.channel_names, arguments.get("channels"), path=description.path)
    held_out, split, group = folder / "labelsTs", arguments["split"], arguments.get("group")
    training, test = case_files(training_cases(folder, description), chosen), []
    if held_out.is_dir():
        test = case_files(cases_in(folder / "imagesTs", held_out, description), chosen)
        split = without_test(split, held_out)
    cases, findings = divided(cases_of_files(training, group=group), split)
    cases += [replace(case, part="test") for case in cases_of_files(test, group=group)]
    return volume_inventory(cases, arguments, names=description.labels, num_sequences=len(chosen), findings=findings)


def decathlon_cases(arguments: dict[str, Any]) -> Inventory:
    """Of the arguments of `msd_splits`; raises as `sam_ft.data.msd.training_cases`."""
    files, names = msd.training_cases(expanded(arguments["root"]) / "dataset.json", arguments.get("channels"))
    cases, findings = divided(cases_of_files(files, group=arguments.get("group")), arguments["split"])
    return volume_inventory(cases, arguments, names=names, num_sequences=len(files[0].images), findings=findings)
