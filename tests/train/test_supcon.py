"""SupCon across sensors: what its losses are given, what is refused, and the command from catalog to report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from resumption import resumed

from rsgeo_cli.rsgeo_train import cli
from rsgeo_train import training
from rsgeo_train.augment import augment
from rsgeo_train.catalog import Catalog, read_catalog
from rsgeo_train.errors import RecipeError
from rsgeo_train.evaluate import floors
from rsgeo_train.evaluate.subjects import of_runs, untrained
from rsgeo_train.finetuning import plan
from rsgeo_train.initialisation import initialise
from rsgeo_train.label_checks import check_labels
from rsgeo_train.losses.labelled import cross_entropy
from rsgeo_train.losses.similarity import nt_xent
from rsgeo_train.losses.stems import stem_distance
from rsgeo_train.losses.supcon import supcon
from rsgeo_train.methods.registry import recipe_kind
from rsgeo_train.methods.supcon import Supcon, SupconRecipe
from rsgeo_train.recipe import load_recipe, shipped_recipes
from rsgeo_train.samples import Sample, Samples, collate

SMALL = [
    "encoder={name: sensor_alexnet, options: {width: 0.05, head: [8]}}",
    "data.batch_size=16",
    "optimizer.average_decay=0.5",
    "trainer.threads=1",
    "trainer.accelerator=cpu",
]
STACK = "encoder={name: compact, channels: [4, 8]}"


def recipe(*more: str) -> SupconRecipe:
    settings = load_recipe(None, [*SMALL, *more], SupconRecipe)
    assert isinstance(settings, SupconRecipe)
    return settings


def learner(catalog: Catalog, *more: str) -> Supcon:
    made = training.build("supcon", recipe(*more), catalog)
    assert isinstance(made, Supcon)
    return made


def batch_of(catalog: Catalog, rows: list[int]) -> Sample:
    taken = training.input_of("supcon", recipe(), catalog)
    samples = Samples(catalog, rows, taken.bands, fills=taken.fills)
    return collate([samples[n] for n in range(len(rows))])


def losses(task: Supcon, batch: Sample) -> dict[str, float]:
    """By the weights as they stand, BatchNorm included."""
    task.eval()
    with torch.no_grad():
        total, told = task._losses(task.network, batch, task.random("augment"))
    weights = task.loss_weights()
    assert float(total) == pytest.approx(sum(weights[name] * float(term) for name, term in told.items()), rel=1e-5)
    return {name: float(term) for name, term in told.items()}


@pytest.fixture
def catalog(pairs: Path) -> Catalog:
    """Two sensors, four textures; sample 5 lacks its S1."""
    return read_catalog(pairs)


ROWS = [0, 1, 2, 3, 4, 5, 8, 13]  # textures 0, 1, 2, 3, 0, 1, 0, 1
STILL = "augment={flip: false, quarter_turns: false, brightness: 0.2}"


def views(task: Supcon, batch: Sample) -> tuple[list[torch.Tensor], torch.Tensor]:
    """The vectors of changed images and of those as they are, each (B, S, D), by a forward of its own."""
    changed, _ = augment(batch.images, batch.labels, task.recipe.augment, task.random("augment"))
    with torch.no_grad():
        found = [
            task.network.encoder.parts(task.network.values(images, batch.present), batch.present)
            for images in (changed, batch.images)
        ]
    return [parts for parts, _ in found], found[0][1]


def test_fused_all_sensors_and_views_of_a_class_are_alike_and_classes_are_of_originals(catalog: Catalog) -> None:
    task, batch = learner(catalog, STILL).eval(), batch_of(catalog, ROWS)
    (changed, own), there = views(task, batch)
    assert not torch.allclose(changed, own, atol=1e-4)
    features = torch.cat([torch.stack([changed[:, s], own[:, s]], dim=1) for s in range(2)])  # [2B, 2, D]
    labels, known = batch.labels.repeat(2), torch.cat([there[:, 0], there[:, 1]])[:, None].expand(-1, 2)
    head = task.network.heads[0]
    assert losses(task, batch) == pytest.approx(
        {
            "contrast": float(supcon(features, labels, known=known)),
            "cross": float(cross_entropy(head(own.flatten(1)), batch.labels).detach()),
        },
        rel=1e-4,
    )


def test_unfused_each_sensor_has_a_contrast_and_a_classifier_and_those_there_answer(catalog: Catalog) -> None:
    task, batch = learner(catalog, STILL, "method.scenario=unfused").eval(), batch_of(catalog, ROWS)
    (changed, own), there = views(task, batch)
    contrast = cross = 0.0
    for s, head in enumerate(task.network.heads):
        has = there[:, s]
        pair = torch.stack([changed[has, s], own[has, s]], dim=1)
        contrast += float(supcon(pair, batch.labels[has]))
        cross += float(cross_entropy(head(own[has, s]), batch.labels[has]))
    assert losses(task, batch) == pytest.approx({"contrast": contrast, "cross": cross}, rel=1e-4)
    with torch.no_grad():
        answers = task.network(batch.images, batch.present)
        both = [head(own[:, s]) for s, head in enumerate(task.network.heads)]
    torch.testing.assert_close(answers[0], (both[0] + both[1])[0] / 2)
    sensors = task.network.encoder.sensors
    torch.testing.assert_close(answers[5], both[sensors.index("s2")][5])  # which lacks its S1


def test_contrasts_without_labels(catalog: Catalog) -> None:
    batch = batch_of(catalog, ROWS)
    for name in ("nt_xent", "pairs"):
        task = learner(catalog, STILL, f"method.contrast={name}", "method.temperature=0.2", "method.cross_delta=0")
        (changed, own), there = views(task.eval(), batch)
        blocks = [view[:, s] for s in range(2) for view in (changed, own)]
        known = torch.stack([there[:, 0], there[:, 0], there[:, 1], there[:, 1]], dim=1)
        groups = [0, 0, 1, 1] if name == "nt_xent" else None
        expected = float(nt_xent(blocks, 0.2, known, groups=groups))
        assert losses(task, batch) == pytest.approx({"contrast": expected}, rel=1e-4)


def test_one_view_still_has_the_other_sensor(catalog: Catalog) -> None:
    task, batch = learner(catalog, "method.augmented=false", "method.cross_delta=0").eval(), batch_of(catalog, ROWS)
    (_, own), there = views(task, batch)
    expected = supcon(own.transpose(0, 1).flatten(0, 1)[:, None], batch.labels.repeat(2), known=there.T.reshape(-1, 1))
    assert losses(task, batch)["contrast"] == pytest.approx(float(expected), rel=1e-4)


def test_ignored_classes_are_in_no_loss_and_negative_ones_are_told_from(catalog: Catalog) -> None:
    batch = batch_of(catalog, ROWS)
    name = "texture 1"
    kept = batch.labels != 1
    found = {}
    for setting in ("ignore=[texture 1]", "negative=texture 1"):
        task = learner(catalog, STILL, f"method.{setting}").eval()
        (changed, own), there = views(task, batch)
        features = torch.cat([torch.stack([changed[:, s], own[:, s]], dim=1) for s in range(2)])
        labels, known = batch.labels.repeat(2), there.T.reshape(-1, 1).expand(-1, 2)
        found[setting] = losses(task, batch)
        if "ignore" in setting:
            expected = supcon(features, labels, known=known & kept.repeat(2)[:, None])
            logits = task.network(batch.images, batch.present)
            assert (logits.argmax(1) != 1).all() and logits.softmax(1)[:, 1].max() == 0
            cross = cross_entropy(logits[kept], batch.labels[kept])
        else:
            expected = supcon(features, labels, known=known, anchors=kept.repeat(2))
            cross = cross_entropy(task.network(batch.images, batch.present), batch.labels)
        assert found[setting] == pytest.approx({"contrast": float(expected), "cross": float(cross)}, rel=1e-4)
    both = learner(catalog, STILL, f"method.ignore=[{name}]", f"method.negative={name}")
    assert losses(both, batch)["contrast"] == pytest.approx(found["negative=texture 1"]["contrast"], rel=1e-4)
    assert losses(both, batch)["cross"] == pytest.approx(found["ignore=[texture 1]"]["cross"], rel=1e-4)


def test_smoothed_labels_ask_for_no_ignored_class(catalog: Catalog) -> None:
    batch = batch_of(catalog, ROWS)
    weights, smoothing = np.array([1.0, 5.0, 2.0, 0.5]), 0.1
    settings = f"class_weights: {weights.tolist()}, label_smoothing: {smoothing}"
    task = learner(catalog, f"method={{ignore: [texture 1], sup_delta: 0, {settings}}}").eval()
    kept = np.array([0, 2, 3])
    with torch.no_grad():
        logits = task.network(batch.images, batch.present).double().numpy()[:, kept]
    shares = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    truth = np.array([np.eye(3)[list(kept).index(label)] for label in batch.labels if label in kept])
    asked = (1 - smoothing) * truth + smoothing / 3
    has = np.isin(batch.labels.numpy(), kept)
    expected = -(asked * shares[has] * weights[kept]).sum() / (truth * weights[kept]).sum()
    assert losses(task, batch) == pytest.approx({"cross": expected}, rel=1e-4)


def test_stems_of_two_views_are_compared_and_pixels_can_be_prototypes(catalog: Catalog) -> None:
    batch = batch_of(catalog, ROWS)
    options = "encoder.options={width: 0.05, head: [8], prototypes: 6}"
    task = learner(catalog, STILL, options, "method={stem: 0.5, sup_delta: 0}").eval()
    changed, _ = augment(batch.images, batch.labels, task.recipe.augment, task.random("augment"))
    encoder, given = task.network.encoder, task.network.values
    maps = [encoder.stem_maps(given(images, batch.present), batch.present) for images in (changed, batch.images)]
    expected = stem_distance(*maps, encoder.there(batch.images, batch.present))
    assert losses(task, batch)["stem"] == pytest.approx(float(expected), rel=1e-4)
    with torch.no_grad():
        encoder.prototypes.mul_(3)
        expressed = encoder._expressed(maps[1][0])
    assert expressed.shape == maps[1][0].shape and float(expressed.norm(dim=1).max()) <= 1 + 1e-5
    encoder.renormalise()
    torch.testing.assert_close(encoder.prototypes.norm(dim=1), torch.ones(6))


def test_sensors_change_together_or_each_by_itself(catalog: Catalog) -> None:
    for together in (True, False):
        setting = "augment={flip: true, quarter_turns: true}", f"method.coregistered={str(together).lower()}"
        task = learner(catalog, *setting)
        ramp = torch.arange(32.0).expand(len(ROWS), 6, 32, 32)
        made = task._changed(ramp, task.random("augment"))
        assert torch.equal(made[:, 0], made[:, 5]) is together and torch.equal(made[:, 0], made[:, 3])


def test_the_linear_mode_trains_the_classifier_and_the_projector_alone(catalog: Catalog, tmp_path: Path) -> None:
    more = "method={training: linear, projector: [8]}", "trainer.max_steps=2", "data.selection_fraction=0"
    task = learner(catalog, *more)
    before = {name: value.clone() for name, value in task.network.state_dict().items()}
    after = training.train("supcon", recipe(*more), catalog, tmp_path / "run", tell=lambda line: None).network
    moved = {name.split(".")[0] for name, value in after.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"heads", "projector"}


@pytest.mark.parametrize("sensors", ["{s2: {}}", "{s1: {}, s2: {}}"], ids=["one", "two"])
def test_an_encoder_that_takes_one_stack_gives_one_vector(catalog: Catalog, sensors: str) -> None:
    stack = "encoder={name: resnet10t}", f"sensors={sensors}"
    for scenario in ("fused", "unfused"):
        task = learner(catalog, *stack, STILL, f"method={{scenario: {scenario}, projector: [8]}}").eval()
        batch = batch_of(catalog, ROWS)
        batch = batch._replace(
            images=batch.images[:, -len(task.sensors) :], present=batch.present[:, -len(task.sensors) :]
        )
        (changed, own), there = views(task, batch)
        assert own.shape == (len(ROWS), 1, 512) and there.all()
        with torch.no_grad():
            projected = task.network.projector(torch.cat([changed[:, 0], own[:, 0]])).unflatten(0, (2, -1))
            logits = task.network.heads[0](own[:, 0])
        expected = {
            "contrast": float(supcon(projected.transpose(0, 1), batch.labels)),
            "cross": float(cross_entropy(logits, batch.labels)),
        }
        assert losses(task, batch) == pytest.approx(expected, rel=1e-4)


REFUSED = [
    (["method.training=linear"], "the encoder is frozen"),
    (["optimizer.groups={encoder: {freeze: true}}"], "the encoder is frozen"),
    (["method={training: linear, stem: 1, projector: [16]}"], "the stems are frozen"),
    (
        ["method={stem: 1, sup_delta: 0}", "optimizer.groups={encoder.stem_blocks: {freeze: true}}"],
        "the stems are frozen",
    ),
    (["method={cross_delta: 0, sup_delta: 0}"], "nothing is left to learn"),
    (["method={augmented: false, contrast: nt_xent}"], "compares two views"),
    (["method={augmented: false, contrast: pairs, scenario: unfused}"], "nothing to compare"),
    (["method.ignore=[clouds]"], "there is no class 'clouds'"),
    (["augment.crop=24"], "augment.crop is 24"),
    (["augment.mixup=0.2"], "shares of classes"),
    ([STACK, "method.stem=1"], "has no such stems"),
]


@pytest.mark.parametrize(("settings", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_settings_that_cannot_work_are_refused(settings: list[str], words: str, catalog: Catalog) -> None:
    with pytest.raises(RecipeError, match=words) as error:
        learner(catalog, *settings)
    assert error.value.hint
    learner(catalog, "method={training: linear, sup_delta: 0}")


@pytest.mark.parametrize(
    ("ignored", "words"),
    [
        ([0, 1, 2], 'have "texture 3" of the classes; two or more'),
        ([0, 1, 2, 3], "have none of the classes"),
        ([3], "no sample of the test split"),
    ],
)
def test_ignoring_too_much_is_refused_before_training(
    catalog: Catalog, tmp_path: Path, ignored: list[int], words: str
) -> None:
    if len(ignored) == 1:
        catalog.table.loc[[3, 7], "split"] = "test"
    names = ", ".join(f"texture {n}" for n in ignored)
    asked = recipe(f"method.ignore=[{names}]", "trainer.max_steps=1", "data.selection_fraction=0")
    with pytest.raises(RecipeError, match=words) as error:
        training.train("supcon", asked, catalog, tmp_path / "run", tell=lambda line: None)
    assert error.value.hint and not (tmp_path / "run").exists()


def test_image_statistics_of_one_class_in_train_are_the_constant_answer(catalog: Catalog) -> None:
    bands = training.input_of("supcon", recipe(), catalog).bands
    train, held = Samples(catalog, [1, 5, 9], bands), Samples(catalog, [0, 1, 2, 5], bands)
    found = floors.image_statistics(train, held, 4)
    assert found[:, 1].tolist() == [1, 2, 1, 0] and found.sum() == 4


@pytest.mark.parametrize("name", shipped_recipes("supcon"))
def test_shipped_recipes_are_read(name: str) -> None:
    assert load_recipe(name, [], recipe_kind("supcon")).method


def test_a_run_resumed_equals_an_uninterrupted_one(catalog: Catalog, tmp_path: Path, monkeypatch) -> None:
    more = "trainer.max_steps=6", "trainer.checkpoint_every=1", "method={contrast: nt_xent, cross_delta: 0, drop: 0.5}"
    last = resumed("supcon", recipe(*more, "method.coregistered=false"), catalog, tmp_path, monkeypatch)
    assert last["score"] == -last["selection_loss"] and "contrast" in last


def test_labels_of_another_kind_are_refused_with_what_a_method_can_do(catalog: Catalog) -> None:
    ways = {
        "raster": "rsgeo-train prepare scene-classes --data CATALOG -o classes.parquet",
        "multilabel": "one class a sample, or learn from it without labels: rsgeo-train pretrain --method csf",
        "instances": "without labels: rsgeo-train pretrain --method csf",
    }
    for kind, way in ways.items():
        header = catalog.header.model_copy(update={"label_kind": kind})
        with pytest.raises(RecipeError) as refused:
            check_labels("supcon", Catalog(header, catalog.table, catalog.root))
        assert way in refused.value.hint and "--task" not in refused.value.hint


def typed(*words: object) -> str:
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.output


def test_from_catalog_to_scores_and_on(pairs: Path, tmp_path: Path) -> None:
    """The command's report scores classes; a run of one sensor goes on from it without them; tasks start from it."""
    run, sets = tmp_path / "run", [word for setting in (*SMALL, "trainer.max_steps=2") for word in ("--set", setting)]
    asked = ["pretrain", "--method", "supcon", "--data", pairs, *sets]
    said = typed(*asked, "--set", "method.ignore=[texture 3]", "-o", run)
    assert "accuracy" in said and "rsgeo-train evaluate" in said
    facts = json.loads((run / "report/metrics.json").read_text())
    assert {"accuracy", "macro F1", "mean recall"} <= {one["name"] for one in facts["metrics"]}
    assert np.sum(facts["confusion"][3]) == 0 and np.sum(facts["confusion"], axis=0)[3] == 0
    assert facts["metrics"][0]["n"] == 36 and facts["unlabelled_samples"] == 0 and facts["ignored_samples"] == 12
    page = (run / "report/index.html").read_text()
    assert "12 are of classes that are ignored" in page and "have no label" not in page
    plain = ["method={cross_delta: 0, contrast: pairs}", "sensors={s2: {}}", f"encoder.init={run}"]
    said = typed(*asked, *(word for setting in plain for word in ("--set", setting)), "-o", tmp_path / "alone")
    assert "left out what is of s1 alone" in said and "Judge it on labelled samples" in said
    assert (tmp_path / "alone/report/run.json").is_file()
    catalog = read_catalog(pairs)
    planned = plan("classification", str(run), None, ["data.batch_size=16", "trainer.accelerator=cpu"])
    task = training.build("classification", planned.recipe, catalog)
    initialise(task, training.input_of("classification", planned.recipe, catalog).bands, lambda line: None)
    (subject,) = of_runs([run], catalog)
    learned = subject.members[0].learner
    assert subject.knows_labels and learned is not None
    for name, weight in task.network.encoder.state_dict().items():
        assert torch.equal(weight, learned.backbone.state_dict()[name])
    (floor,) = untrained(run, seeds=1).members
    batch = batch_of(catalog, ROWS)
    features = [one.learner.encoded(batch.images, batch.present).pooled for one in (subject.members[0], floor)]
    assert features[0].shape == (len(ROWS), 16) and not torch.equal(*features)
    owners = subject.taken.sensors
    parts, _ = learned.backbone.parts(learned.normalised(batch.images, batch.present), batch.present)
    taken = subject.taken
    samples = Samples(catalog, ROWS, taken.bands, fills=taken.fills)
    for number in range(2):  # what one sensor is looked for by is of the kind of what the other is
        compared = subject.members[0].compared(samples, [n for n, sensor in enumerate(owners) if sensor == number])
        torch.testing.assert_close(torch.from_numpy(compared), parts[:, number].detach())
    assert subject.members[0].compared(samples, None).shape == (len(ROWS), 8)


@pytest.mark.parametrize(("name", "degrees"), [("supcon-meterml", 0), ("supcon-dfc", 20)])
def test_recipes_of_the_reference_flip_and_turn_by_no_quarter(name: str, degrees: float) -> None:
    change = load_recipe(name, [], recipe_kind("supcon")).augment
    assert (change.flip, change.quarter_turns, change.rotate) == ("both", False, degrees)
