"""What the model returns for an image of the tiny dataset, and the evaluation of such results."""

import torch
from detectron2.structures import Instances

SKY, CAT = 0, 1
CAT_BOX = (slice(16, 48), slice(12, 36))


def result(shift=0):
    """What the model returns for an image: everything right, the cat `shift` pixels too low."""
    ids = torch.ones(64, 48, dtype=torch.int32)
    rows, columns = CAT_BOX
    ids[rows.start + shift : rows.stop + shift, columns] = 2
    segments = [
        {"id": 1, "isthing": False, "category_id": SKY},
        {"id": 2, "isthing": True, "category_id": CAT},
    ]
    image = torch.zeros(64, 48, 3, dtype=torch.uint8)
    return {"panoptic_seg": (ids, segments), "original_image": image}


def run(evaluator, *results):
    """Evaluates results of the images 1, 2, ..."""
    evaluator.reset()
    for number, output in enumerate(results, start=1):
        evaluator.process([{"image_id": number}], [output])
    return evaluator.evaluate()


def found_instances(shift=0):
    """The cat, `shift` pixels too low, and the sky, which is no thing."""
    rows, columns = CAT_BOX
    masks = torch.zeros(2, 64, 48, dtype=torch.bool)
    masks[0, rows.start + shift : rows.stop + shift, columns] = True
    found = Instances((64, 48), pred_masks=masks)
    found.scores, found.pred_classes = torch.tensor([0.9, 0.8]), torch.tensor([CAT, SKY])
    return found


def sem_seg(shift=0):
    """Scores of sky and cat, the cat `shift` pixels too low."""
    rows, columns = CAT_BOX
    scores = torch.zeros(2, 64, 48)
    scores[SKY] = 0.5
    scores[CAT, rows.start + shift : rows.stop + shift, columns] = 1
    return {"sem_seg": scores}
