"""Miniatures of the data sets of sound: tags, classes and captions of clips, and videos with their sound."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from tests.miniatures.base import Expected, ExpectedItem, sound, video, write


def audioset(folder: Path) -> Expected:
    """The evaluation set of AudioSet: three lines of remarks, a blank behind each comma, and lists of tags in quotes.

    Format: eval_segments.csv as bci4cpl/Sound2spks has it (there the third line lacks its #, which readers of the
    original skip: Labbeti/aac-datasets, functional/audiocaps.py); class_labels_indices.csv with the header that
    LanguageBind reads (a_cls/datasets.py) and the names as KkLearner/audioset has them. Names of the sounds: Y and the
    id in LanguageBind's a_cls/filter_eval_audio.py, the id alone on the page of agkphysics/AudioSet, with start and end
    in others' data of AudioSet.
    """
    write(
        folder,
        "eval_segments.csv",
        "# Segments csv created Sun Mar  5 10:54:25 2017\n"
        "# num_ytids=5, num_segs=5, num_unique_labels=4, num_positive_labels=9\n"
        "# YTID, start_seconds, end_seconds, positive_labels\n"
        '--aB3dEfGhI, 0.000, 10.000, "/m/09x0r,/t/dd00088"\n'
        '-0Jk_LmNoPq, 20.000, 30.000, "/m/04rlf"\n'
        '0rStUvW5xY-, 420.000, 429.000, "/m/04rlf,/m/09x0r,/m/0ytgt"\n'
        'Zz9yXwVuTsR, 21.000, 31.000, "/m/0ytgt"\n'
        '_qPo7NmLkJi, 30.000, 40.000, "/g/122z_qxw,/m/09x0r"\n',
    )
    write(
        folder,
        "class_labels_indices.csv",
        "index,mid,display_name\n"
        '0,/m/09x0r,"Speech"\n'
        '3,/m/0ytgt,"Child speech, kid speaking"\n'
        '137,/m/04rlf,"Music"\n'
        '389,/m/07cx4,"Telephone"\n'
        '433,/g/122z_qxw,"Firecracker"\n'
        '451,/t/dd00088,"Gush"\n',
    )
    write(folder, "balanced_train_segments.csv", '# YTID\nTrAiNtRaIn0, 0.000, 10.000, "/m/07cx4"\n')
    write(folder, "eval_segments/Y--aB3dEfGhI.wav", sound(0))
    write(folder, "audio/eval/-0Jk_LmNoPq.wav", sound(1))
    write(folder, "audio/eval/TrAiNtRaIn0.wav", sound(9))
    write(folder, "eval_segments/0rStUvW5xY-_420.000_429.000.wav", sound(2))
    write(folder, "eval_segments/Zz9yXwVuTsR.mp4", video(3, with_sound=True))
    write(folder, "audios/eval_segments/Y_qPo7NmLkJi.wav", sound(4))
    return {
        "--aB3dEfGhI": ExpectedItem(("audio",), classes=("Speech", "Gush")),
        "-0Jk_LmNoPq": ExpectedItem(("audio",), classes=("Music",)),
        "0rStUvW5xY-": ExpectedItem(("audio",), classes=("Music", "Speech", "Child speech, kid speaking")),
        "Zz9yXwVuTsR": ExpectedItem(("audio",), classes=("Child speech, kid speaking",)),
        "_qPo7NmLkJi": ExpectedItem(("audio",), classes=("Firecracker", "Speech")),
    }


def esc50(folder: Path) -> Expected:
    """ESC-50: clips of several folds, and classes with underscores.

    Format: meta/esc50.csv of karolpiczak/ESC-50, its header and a row as many who read it cite them; file names of
    fold, clip on Freesound, take and class; classes in words as LanguageBind has them (a_cls/zero_shot_metadata.py).
    """
    clips = {
        "1-104729-A-0.wav": ("dog", True),
        "2-38501-B-49.wav": ("hand_saw", False),
        "3-221077-C-33.wav": ("door_wood_creaks", False),
        "5-9613-A-49.wav": ("hand_saw", False),
    }
    rows = []
    for name, (category, in_esc10) in clips.items():
        fold, source, take, target = name.removesuffix(".wav").split("-")
        rows.append((name, fold, target, category, in_esc10, source, take))
    write(
        folder,
        "meta/esc50.csv",
        _csv([("filename", "fold", "target", "category", "esc10", "src_file", "take"), *rows]),
    )
    for number, name in enumerate(clips):
        write(folder, f"audio/{name}", sound(number))
    return {
        name: ExpectedItem(("audio",), classes=(category.replace("_", " "),)) for name, (category, _) in clips.items()
    }


def vggsound(folder: Path) -> Expected:
    """VGGSound: no header, both splits in one list, labels with commas in quotes; starts of one to three digits.

    Format: vggsound.csv as Git-hossein/B.sc.-Audiocraft-module has it; clips named by id and six digits as in
    data/test.csv of hche11/VGGSound, sounds beside them as its datasets/dataloader.py reads them; the folders of the
    archives as those who unpack them cite them.
    """
    write(
        folder,
        "vggsound.csv",
        "---g7hIjK_L,1,people marching,test\n"
        '--0mNoPqR5s,30,"bee, wasp, etc. buzzing",train\n'
        '--9tUvWxYzA,0,"bee, wasp, etc. buzzing",test\n'
        "-bCdE-fGhI4,110,police car (siren),test\n"
        "-bCdE-fGhI4,242,people marching,train\n"
        '_jKlMn3OpQr,57,"playing violin, fiddle",test\n',
    )
    unpacked = "scratch/shared/beegfs/hchen/train_data/VGGSound_final/video"
    write(folder, "video/---g7hIjK_L_000001.mp4", video(0, with_sound=True))
    write(folder, "video/--0mNoPqR5s_000030.mp4", video(8, with_sound=True))
    write(folder, "video/--9tUvWxYzA_000000.mp4", video(1))
    write(folder, "audio/--9tUvWxYzA_000000.wav", sound(1))
    write(folder, f"{unpacked}/-bCdE-fGhI4_000110.mp4", video(2, with_sound=True))
    write(folder, f"{unpacked}/-bCdE-fGhI4_000242.mp4", video(9, with_sound=True))
    write(folder, "video/_jKlMn3OpQr_000057.mp4", video(3, with_sound=True))
    classes = {
        "---g7hIjK_L_000001": "people marching",
        "--9tUvWxYzA_000000": "bee, wasp, etc. buzzing",
        "-bCdE-fGhI4_000110": "police car (siren)",
        "_jKlMn3OpQr_000057": "playing violin, fiddle",
    }
    return {name: ExpectedItem(("audio", "video"), classes=(label,)) for name, label in classes.items()}


def clotho(folder: Path) -> Expected:
    """Clotho: five captions for each clip, and file names as people on Freesound gave them.

    Format: clotho_captions_evaluation.csv with the columns that audio-captioning/clotho-dataset, LanguageBind
    (al_ret/datasets.py) and Labbeti/aac-datasets read; names, quotes and captions without a full stop or a capital as
    in JuheeGJGJ/Caption_America-Demo, which has the file with translations.
    """
    captions = {
        "20120817.tap, kitchen.03.wav": "Water runs into a sink, slowly.",
        "Rain w_ roof & gutter (2).wav": 'Somebody says "hello" in the rain',
        "night-walk_gravel 1'30.wav": "steps on gravel",
        "\u00c9t\u00e9 - cigales #1.wav": "Insects sing  in the heat. ",
    }
    header = ("file_name", *(f"caption_{number}" for number in range(1, 6)))
    rows = [(name, text, *(f"{text} {number}" for number in range(2, 6))) for name, text in captions.items()]
    write(folder, "clotho_captions_evaluation.csv", _csv([header, *rows], "\r\n"))
    write(folder, "clotho_captions_development.csv", _csv([header, (" Park.wav", *["A park."] * 5)], "\r\n"))
    for number, name in enumerate(captions):
        write(folder, f"evaluation/{name}", sound(number))
    write(folder, "development/ Park.wav", sound(9))
    return {
        name: ExpectedItem(("audio",), captions=tuple(" ".join(text.split()) for text in texts))
        for name, *texts in rows
    }


def audiocaps(folder: Path) -> Expected:
    """AudioCaps: five rows for each clip, in no order; captions in quotes where they have commas.

    Format: dataset/val.csv and dataset2.0/test.csv of cdjkim/audiocaps, which has test.csv in the same columns. Names
    of the sounds: id and start in Labbeti/aac-datasets, the number of the row in MorenoLaQuatra/audiocaps-download.
    """
    clips = {"-aB3_dEfGhI": 30, "0jKlM-nOpQr": 0, "sTuVwXyZ4a_": 110, "B5cDeFgHiJk": 8}
    things = ("A bell rings", "A man talks, then a bell", "a bell", "Someone speaks near a bell", "Ringing, faint")
    rows = [
        (100_000 + 101 * place - 17 * number, name, start, f"{thing} {number}")
        for place, thing in enumerate(things)
        for number, (name, start) in enumerate(clips.items())
    ]
    header = ("audiocap_id", "youtube_id", "start_time", "caption")
    write(folder, "test.csv", _csv([header, *rows]))
    write(folder, "val.csv", _csv([header, (97_001, "VaLvAlVaL_0", 60, "A horn, far away")]))
    files = ("-aB3_dEfGhI_30", "0jKlM-nOpQr", "YsTuVwXyZ4a_", str(rows[3][0]))
    for number, name in enumerate(files):
        write(folder, f"test/{name}.wav", sound(number))
    write(folder, "val/VaLvAlVaL_0_60.wav", sound(9))
    return {
        name: ExpectedItem(("audio",), captions=tuple(text for _, other, _, text in rows if other == name))
        for name in clips
    }


def ave(folder: Path) -> Expected:
    """AVE: columns parted by &, and a video with two events.

    Format: Annotations.txt (with a header) and testSet.txt (without) as haoyi-duan/DG-SCT has them in data/AVE; that a
    video may have events of several classes is said in the ReadMe.txt beside them.
    """
    events = [
        "Church bell&aB3dEfGhIjK&good&0&10",
        "Male speech, man speaking&-lMnO-pQrSt&good&2&9",
        "Frying (food)&_uVwX4yZaBc&good&0&0",
        "Female speech, woman speaking&-lMnO-pQrSt&good&0&2",
        "Church bell&5dEfGhI_jKl&good&7&10",
    ]
    write(folder, "Annotations.txt", _lines(["Category&VideoID&Quality&StartTime&EndTime", *events]))
    write(folder, "testSet.txt", _lines(events[2:4]))
    write(folder, "trainSet.txt", _lines([*events[:2], events[4]]))
    classes = {
        "aB3dEfGhIjK": ("Church bell",),
        "-lMnO-pQrSt": ("Male speech, man speaking", "Female speech, woman speaking"),
        "_uVwX4yZaBc": ("Frying (food)",),
        "5dEfGhI_jKl": ("Church bell",),
    }
    for number, name in enumerate(classes):
        write(folder, f"AVE/{name}.mp4", video(number, with_sound=True))
    write(folder, "AVE/nOtLiStEd00.mp4", video(9, with_sound=True))
    return {name: ExpectedItem(("audio", "video"), classes=labels) for name, labels in classes.items()}


def _csv(rows: Iterable[tuple], end: str = "\n") -> str:
    """Rows with quotes where a value needs them."""
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator=end).writerows(rows)
    return file.getvalue()


def _lines(rows: Iterable[str]) -> str:
    return "".join(f"{row}\n" for row in rows)
