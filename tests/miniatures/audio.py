"""Miniatures of the benchmarks of sound: annotations as published, texts and media our own."""

from pathlib import Path

from tests.miniatures.base import Expected, ExpectedItem, quoted, sound, video, write


def audioset(folder: Path) -> Expected:
    """Three lines of remarks, a blank behind every comma, quoted lists of classes, names that begin with `-`.

    Format: eval_segments.csv of the data set's page; class_labels_indices.csv as in YuanGongND/ast,
    egs/audioset/data.
    """
    write(
        folder,
        "eval_segments.csv",
        "# Segments csv created Sun Mar  5 10:54:25 2017\n"
        "# num_ytids=3, num_segs=3, num_unique_labels=4, num_positive_labels=6\n"
        "# YTID, start_seconds, end_seconds, positive_labels\n"
        '--aBcDeFgHi, 30.000, 40.000, "/m/09x0r,/t/dd00088"\n'
        '0_jKlMnOpQr, 0.000, 10.000, "/m/04rlf"\n'
        'sTuVwXyZ012, 21.000, 31.000, "/m/04rlf,/m/0d31p,/m/09x0r"\n',
    )
    write(
        folder,
        "class_labels_indices.csv",
        "index,mid,display_name\n"
        '0,/m/09x0r,"Speech"\n'
        '1,/t/dd00088,"Gush"\n'
        '2,/m/04rlf,"Music"\n'
        '3,/m/0d31p,"Vacuum cleaner"\n'
        '4,/m/05zppz,"Male speech, man speaking"\n',
    )
    write(folder, "eval_segments/Y--aBcDeFgHi.wav", sound(0))
    write(folder, "eval_segments/0_jKlMnOpQr.wav", sound(1))
    write(folder, "audio/eval_segments/YsTuVwXyZ012.mp4", video(2, with_sound=True))
    return {
        "--aBcDeFgHi": ExpectedItem(("audio",), classes=("Speech", "Gush")),
        "0_jKlMnOpQr": ExpectedItem(("audio",), classes=("Music",)),
        "sTuVwXyZ012": ExpectedItem(("audio",), classes=("Music", "Vacuum cleaner", "Speech")),
    }


def esc50(folder: Path) -> Expected:
    """All folds, classes with an underscore.

    Format: karolpiczak/ESC-50, meta/esc50.csv.
    """
    rows = (("1-100-A-0", 1, 0, "dog"), ("2-200-B-49", 2, 49, "hand_saw"), ("5-300-C-49", 5, 49, "hand_saw"))
    lines = [f"{name}.wav,{fold},{target},{label},False,{name[2:5]},A" for name, fold, target, label in rows]
    header = "filename,fold,target,category,esc10,src_file,take"
    write(folder, "meta/esc50.csv", "\n".join([header, *lines]) + "\n")
    for number, (name, *_) in enumerate(rows):
        write(folder, f"audio/{name}.wav", sound(number))
    return {f"{name}.wav": ExpectedItem(("audio",), classes=(label.replace("_", " "),)) for name, *_, label in rows}


def vggsound(folder: Path) -> Expected:
    """No header, labels with commas, both splits; sound is the track of the videos, or lies beside them.

    Format: vggsound.csv of the data set's page; hche11/VGGSound, data/vggsound.csv.
    """
    write(
        folder,
        "vggsound.csv",
        "---aBcDeFgH,1,people marching,test\n"
        '--0iJkLmNoP,20,"playing violin, fiddle",test\n'
        "zzTrainTrai,30,rope skipping,train\n",
    )
    write(folder, "video/---aBcDeFgH_000001.mp4", video(0, with_sound=True))
    write(folder, "video/--0iJkLmNoP_000020.mp4", video(1))
    write(folder, "audio/--0iJkLmNoP_000020.wav", sound(1))
    return {
        "---aBcDeFgH_000001": ExpectedItem(("audio", "video"), classes=("people marching",)),
        "--0iJkLmNoP_000020": ExpectedItem(("audio", "video"), classes=("playing violin, fiddle",)),
    }


def clotho(folder: Path) -> Expected:
    """Five captions each, file names as people on Freesound give them.

    Format: clotho_captions_evaluation.csv of the data set's page; audio-captioning/clotho-dataset.
    """
    names = ("Rain, roof & gutter (2).wav", "walking_on.gravel.wav", "Été - cigales #1.wav")
    texts = {
        name: tuple(f"Text {number}, of item {place}." for number in range(1, 6)) for place, name in enumerate(names)
    }
    rows = [",".join(f'"{value}"' for value in (name, *found)) for name, found in texts.items()]
    header = "file_name,caption_1,caption_2,caption_3,caption_4,caption_5"
    write(folder, "clotho_captions_evaluation.csv", "\r\n".join([header, *rows]) + "\r\n")
    for number, name in enumerate(names):
        write(folder, f"evaluation/{name}", sound(number))
    return {name: ExpectedItem(("audio",), found) for name, found in texts.items()}


def audiocaps(folder: Path) -> Expected:
    """Five rows for each clip, one after the other or not.

    Format: cdjkim/audiocaps, dataset/test.csv.
    """
    first, second = "-aBcDeFgHiJ", "k_LmNoPqRsT"
    rows = [
        f"{1000 + number},{name},{start},{quoted(f'Text {number}, of {name}' if number else f'Birds sing near {name}')}"
        for number in range(5)
        for name, start in ((first, 30), (second, 0))
    ]
    write(folder, "test.csv", "\n".join(["audiocap_id,youtube_id,start_time,caption", *rows]) + "\n")
    write(folder, f"test/{first}.wav", sound(0))
    write(folder, f"test/{second}_0.wav", sound(1))
    return {
        name: ExpectedItem(
            ("audio",), (f"Birds sing near {name}", *(f"Text {number}, of {name}" for number in range(1, 5)))
        )
        for name in (first, second)
    }


def ave(folder: Path) -> Expected:
    """Columns parted by &, no header; classes with commas and blanks.

    Format: YapengTian/AVE-ECCV18, data of its page: testSet.txt; `Annotations.txt` has the header.
    """
    rows = (
        ("Church bell", "aBcDeFgHiJk", "good", 0, 10),
        ("Male speech, man speaking", "-lMnOpQrStU", "good", 2, 9),
        ("Train horn", "vWxYz012345", "bad", 0, 7),
    )
    write(folder, "testSet.txt", "".join("&".join(map(str, row)) + "\n" for row in rows))
    everything = ["Category&VideoID&Quality&StartTime&EndTime", "Bark&trainTRAINt&good&0&10"]
    write(folder, "Annotations.txt", "\n".join([*everything, *("&".join(map(str, row)) for row in rows)]) + "\n")
    for number, (_, name, *_) in enumerate(rows):
        write(folder, f"AVE/{name}.mp4", video(number, with_sound=True))
    return {name: ExpectedItem(("audio", "video"), classes=(label,)) for label, name, *_ in rows}
