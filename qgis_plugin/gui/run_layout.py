"""Where the parts of the run dialog stand: the form on the left, pages on the right, plan and progress below."""

from __future__ import annotations

from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import (
    QDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSplitter,
    QTabWidget,
    QTextBrowser,
    QVBoxLayout,
)

from ..translation import tr
from .band_table import BandTable
from .log_view import LogView
from .result_panel import ResultPanel
from .run_form import RunForm


class RunLayout:
    """The widgets of the run dialog.

    Args:
        dialog: to be filled.
        iface: the window, or None.
    """

    def __init__(self, dialog: QDialog, iface) -> None:
        self.form = RunForm(iface)
        self.card = QTextBrowser()
        self.card.setOpenExternalLinks(True)
        self.bands = BandTable()
        self.result = ResultPanel()
        self.log = LogView()
        self.tabs = QTabWidget()
        self.tabs.addTab(self.card, tr("Model card"))
        self.tabs.addTab(self.bands, tr("Bands"))
        self.tabs.addTab(self.result, tr("Result"))
        self.tabs.addTab(self.log, tr("Log"))
        self.plan = QTextBrowser()
        self.plan.setFixedHeight(5 * self.plan.fontMetrics().lineSpacing() + 18)
        self.told = QLabel()
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setFormat("%p %")
        self.plan_button = QPushButton(tr("&Plan again"))
        self.more_button = QPushButton(tr("All pa&rameters…"))
        self.more_button.setToolTip(tr("The same in the dialog of the Processing toolbox, with what is rarely needed."))
        self.run_button = QPushButton(tr("R&un"))
        self.cancel_button = QPushButton(tr("Ca&ncel"))
        self.close_button = QPushButton(tr("C&lose"))
        self.run_button.setDefault(True)
        for button in (self.plan_button, self.more_button, self.cancel_button, self.close_button):
            button.setAutoDefault(False)
        self._lay_out(dialog)
        self.show_running(False)
        self.set_startable(False)

    def _lay_out(self, dialog: QDialog) -> None:
        scrolled = QScrollArea()
        scrolled.setWidget(self.form)
        scrolled.setWidgetResizable(True)
        scrolled.setFrameShape(QFrame.Shape.NoFrame)
        scrolled.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scrolled.setMinimumWidth(self.form.minimumSizeHint().width() + 12)
        split = QSplitter(Qt.Orientation.Horizontal)
        split.addWidget(scrolled)
        split.addWidget(self.tabs)
        split.setStretchFactor(0, 0)
        split.setStretchFactor(1, 1)
        split.setChildrenCollapsible(False)
        split.setSizes([430, 570])
        progress = QHBoxLayout()
        progress.addWidget(self.told, 1)
        progress.addWidget(self.bar)
        self.bar.setMinimumWidth(360)
        buttons = QHBoxLayout()
        buttons.addWidget(self.plan_button)
        buttons.addWidget(self.more_button)
        buttons.addStretch(1)
        for button in (self.run_button, self.cancel_button, self.close_button):
            buttons.addWidget(button)
        layout = QVBoxLayout(dialog)
        layout.addWidget(split, 1)
        layout.addWidget(self.plan)
        layout.addLayout(progress)
        layout.addLayout(buttons)
        dialog.resize(1000, 720)

    def show_running(self, is_running: bool) -> None:
        """Between runs the form can be changed, during one it can be cancelled."""
        self.cancel_button.setEnabled(is_running)
        self.plan_button.setEnabled(not is_running)
        if is_running:
            self.bar.setValue(0)
            self.run_button.setEnabled(False)

    def set_startable(self, is_startable: bool) -> None:
        """Whether Run can be pressed."""
        self.run_button.setEnabled(is_startable)
