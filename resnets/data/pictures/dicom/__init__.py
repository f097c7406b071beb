"""DICOM files: parsing within limits, pixels, series and their geometry. Nothing that names a person is read. No torch."""
