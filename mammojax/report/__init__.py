"""What a person sees of a run: figures, an HTML page, a terminal table.

Everything here reads the files of a workdir and nothing else, so that a report
can be made on a machine that has neither the images nor an accelerator.

    from mammojax.report import html
    html.write('runs/adatriplet')
"""
