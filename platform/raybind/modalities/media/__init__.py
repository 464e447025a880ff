"""How media files are read, bounded in memory and time, for whichever modality they belong to.

whole        is a file all there, by its own structure
images       png, jpg and tiff
clips        frames of a video
sound        samples of a sound file
spectrogram  log-mel spectrograms
pixels       values, sizes and crops of pictures
"""
